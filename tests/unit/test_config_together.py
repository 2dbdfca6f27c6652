"""How many rules one message may be judged by: what an org's documents come to together."""

import json
from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.config.together import MOST, check_together
from shared.domain.errors import NotProcessable
from shared.domain.names import matches
from shared.domain.rules.rules import Rules
from shared.domain.rules.topics import Topics

TOKENS = ("a", "b", "*", ">")
TOPICS = [".".join(tokens) for length in (1, 2, 3, 4) for tokens in product("abc", repeat=length)]


def document(policies: int, limits: int, name: str = "r") -> bytes:
    """A document with so many rules, of names of its own."""
    return json.dumps(
        {
            "policies": [{"name": f"{name}-p{n}", "when": "false"} for n in range(policies)],
            "rate_limits": [{"name": f"{name}-l{n}", "per": [], "rate": 1, "burst": 1} for n in range(limits)],
        }
    ).encode()


def patterns() -> st.SearchStrategy[str]:
    tokens = st.lists(st.sampled_from("ab*"), min_size=1, max_size=3)
    return st.builds(lambda way, rest: ".".join((*way, ">")) if rest else ".".join(way), tokens, st.booleans()) | st.just(">")


@given(st.dictionaries(patterns(), st.integers(0, 9), max_size=12))
def test_patterns_weigh_no_less_than_those_of_any_topic(weights: Mapping[str, int]) -> None:
    heaviest = Topics(weights).heaviest(weights)
    most = max(sum(weight for pattern, weight in weights.items() if matches(pattern, topic)) for topic in TOPICS)
    assert heaviest >= most
    if not any("*" in pattern for pattern in weights):
        assert heaviest == most


@pytest.mark.parametrize("list_name", MOST)
def test_documents_of_one_message_are_counted_together_and_others_are_not(list_name: str) -> None:
    most, each = MOST[list_name], MOST[list_name] // 4

    def having(number: int, name: str) -> bytes:
        return document(number, 0, name) if list_name == "policies" else document(0, number, name)

    own = {path: having(each, path) for path in ("org", "topics/a.>", "subjects/*", "topics/*.b")}
    apart = {f"topics/other-{n}.>": having(each, "r") for n in range(50)} | {"subjects/x": having(each, "r")}
    check_together(own)
    check_together({path: text for path, text in own.items() if path != "subjects/*"} | apart)
    with pytest.raises(NotProcessable) as refused:
        check_together(own | {"topics/a.b": having(1, "r")})
    assert [fault.pointer for fault in refused.value.faults] == [f"/{list_name}"]
    assert f"{most + 1} of them; {most} are allowed" in refused.value.detail


def test_all_that_is_allowed_is_in_force_for_one_message() -> None:
    documents = {f"topics/{pattern}": document(64, 32, pattern.replace("*", "x")) for pattern in ("a.b", "*.b", "a.*", "*.*")}
    check_together(documents)
    scope = Rules({"acme": documents}).scope("acme", "a.b", None)
    assert (len(scope.blockers.asked), len(scope.limits)) == (256, 128)
    assert [part.asked for part in scope.blockers.parts if part.together is None] == []
    assert sum((part.asked for part in scope.blockers.parts), ()) == scope.blockers.asked
