"""Which documents are for a message, which of two is the more specific, and what they say together."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.config.compiling import compile_document
from shared.domain.config.document import Document
from shared.domain.config.merge import merge, shown
from shared.domain.config.paths import Path, applies, parse_path, specificity
from shared.domain.config.reading import read_document
from shared.domain.names import matches
from shared.domain.rules.topics import Topics
from tests.unit.config_samples import WHOLE

tokens = st.sampled_from(["a", "b", "*"])
patterns = st.lists(tokens, min_size=1, max_size=4).map(".".join) | st.lists(tokens, max_size=3).map(lambda head: ".".join([*head, ">"]))
topics = st.lists(st.sampled_from(["a", "b", "", "*", ">"]), min_size=1, max_size=5).map(".".join)


def slow_matches(pattern: str, topic: str) -> bool:
    """NATS's rule, token by token."""
    wanted, rest = pattern.split("."), topic.split(".")
    if not wanted or not rest:
        return not wanted and not rest
    if wanted[0] == ">":
        return True
    if wanted[0] not in ("*", rest[0]):
        return False
    if len(wanted) == 1 or len(rest) == 1:
        return len(wanted) == len(rest)
    return slow_matches(".".join(wanted[1:]), ".".join(rest[1:]))


@given(st.lists(patterns, max_size=8), topics)
def test_the_tree_of_patterns_agrees_with_the_slow_rule(some: list[str], topic: str) -> None:
    expected = {pattern for pattern in some if slow_matches(pattern, topic)}
    assert Topics(some).matching(topic) == expected
    assert {pattern for pattern in some if matches(pattern, topic)} == expected


@given(patterns, patterns)
def test_a_pattern_comes_later_when_it_takes_a_part_of_anothers_topics(one: str, other: str) -> None:
    every = [".".join(parts) for size in range(1, 6) for parts in _words(size)]
    mine, theirs = ({topic for topic in every if slow_matches(pattern, topic)} for pattern in (one, other))
    if mine < theirs:
        assert specificity(Path("topics", one)) > specificity(Path("topics", other))


def _words(size: int) -> list[list[str]]:
    return [[]] if size == 0 else [[token, *rest] for token in ("a", "b", "c") for rest in _words(size - 1)]


@given(patterns, patterns, topics)
def test_two_patterns_differ_in_kind_when_they_take_one_topic(one: str, other: str, topic: str) -> None:
    if one != other and slow_matches(one, topic) and slow_matches(other, topic):
        assert specificity(Path("topics", one))[:2] != specificity(Path("topics", other))[:2]


def test_paths_are_ordered_from_general_to_specific() -> None:
    paths = ["global", "org", "topics/>", "topics/*.>", "topics/*.b", "topics/a.>", "topics/a.*", "topics/a.b", "topics/a.b.>",
             "subjects/>", "subjects/*", "subjects/x.y"]  # fmt: skip
    assert sorted(paths, key=lambda path: specificity(parse_path(path))) == paths


@pytest.mark.parametrize(
    ("path", "topic", "subject", "expected"),
    [
        ("global", "a", None, True),
        ("org", "a", "x", True),
        ("topics/a.>", "a.b", None, True),
        ("topics/a.>", "a", None, False),
        ("subjects/*", "a", None, True),
        ("subjects/>", "a", "x.y", True),
        ("subjects/x.y", "a", "x.y", True),
        ("subjects/x", "a", "x.y", False),
        ("subjects/x", "a", None, False),
    ],
)
def test_a_document_is_for_a_message_when_its_pattern_takes_it(path: str, topic: str, subject: str | None, expected: bool) -> None:
    assert applies(parse_path(path), topic, subject) is expected


def documents(**by_path: dict[str, Any]) -> list[tuple[Path, Document]]:
    return [(parse_path(path), compile_document(path, value).document) for path, value in by_path.items()]


def test_defaults_hold_when_no_document_says_anything() -> None:
    effective = merge([])
    assert effective.max_bytes == 1_048_576
    assert effective.routes[0].to == ("local",)
    assert set(effective.origins.values()) == {"default"}


def test_the_more_specific_value_holds_and_its_origin_is_said() -> None:
    limit = {"name": "l", "per": ["topic"], "rate": 1, "burst": 1}
    effective = merge(
        documents(
            **{
                "global": {"max_bytes": 10, "retention": "30d", "buffer": {"messages": 1, "in_flight": 2}, "rate_limits": [limit]},
                "org": {"max_bytes": 20, "buffer": {"in_flight": 3}, "retry": {"give_up_after": "1h"}},
                "topics/a.>": {"max_bytes": 30, "policies": [{"name": "p", "when": "true"}, {"name": "q", "when": "true"}]},
                "topics/a.b": {"max_bytes": 40, "rate_limits": [limit | {"rate": 5}, limit | {"name": "m"}]},
                "subjects/x": {"policies": [{"name": "p", "when": "false"}], "schema": False},
            }
        )
    )
    assert effective.max_bytes == 40
    assert effective.delivering.messages == 1
    assert effective.delivering.in_flight == 3
    assert effective.delivering.give_up_after_s == 3600
    assert [(limit.name, limit.rate) for limit in effective.rate_limits] == [("l", 5), ("m", 1)]
    assert [(policy.name, policy.when) for policy in effective.policies] == [("p", "false"), ("q", "true")]
    assert effective.schema is False
    assert effective.origins == {
        "/max_bytes": "topics/a.b", "/retention": "global", "/routes": "default", "/schema": "subjects/x",
        "/buffer/messages": "global", "/buffer/in_flight": "org", "/retry/attempts": "default", "/retry/initial_ms": "default",
        "/retry/max_ms": "default", "/retry/give_up_after": "org", "/rate_limits/l": "topics/a.b", "/rate_limits/m": "topics/a.b",
        "/policies/p": "subjects/x", "/policies/q": "topics/a.>",
    }  # fmt: skip


def test_routes_and_schema_are_taken_whole_when_a_specific_document_has_them() -> None:
    effective = merge(documents(**{"org": WHOLE, "topics/a": {"routes": [{"to": ["global"]}], "schema": {"required": ["b"]}}}))
    assert [route.to for route in effective.routes] == [("global",)]
    assert effective.schema == {"required": ["b"]}


def test_the_longest_pause_is_not_below_the_first_when_two_documents_give_them() -> None:
    way = merge(documents(**{"global": {"retry": {"max_ms": 50, "initial_ms": 10}}, "org": {"retry": {"initial_ms": 100}}})).delivering
    assert way.max_ms == way.initial_ms == 100


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_merged_result_is_independent_of_the_order_of_writing(data: st.DataObject) -> None:
    names = st.sampled_from(["p", "q", "r"])
    item = st.builds(lambda name, rate: {"name": name, "per": ["topic"], "rate": rate, "burst": 1}, names, st.integers(1, 9))
    document = st.fixed_dictionaries(
        {},
        optional={
            "max_bytes": st.integers(1, 99),
            "rate_limits": st.lists(item, max_size=3, unique_by=lambda one: one["name"]),
            "buffer": st.fixed_dictionaries({}, optional={"messages": st.integers(1, 9), "in_flight": st.integers(1, 9)}),
            "routes": st.just([{"to": ["local"]}]) | st.just([{"to": ["global"]}]),
            "schema": st.booleans(),
        },
    )
    paths = st.sampled_from(["global", "org", "topics/>", "topics/a.*", "topics/*.b", "topics/a.b", "subjects/*", "subjects/x"])
    written: dict[str, Any] = data.draw(st.dictionaries(paths, document, min_size=2, max_size=5))
    some = [(parse_path(path), read_document(value)) for path, value in written.items()]
    assert merge(data.draw(st.permutations(some))) == merge(some)
    merged = merge(some)
    general_first = [written[path.text] for path, _ in sorted(some, key=lambda pair: specificity(pair[0]))]
    assert merged.max_bytes == next((one["max_bytes"] for one in reversed(general_first) if "max_bytes" in one), 1_048_576)
    named = {item["name"]: item["rate"] for one in general_first for item in one.get("rate_limits", [])}
    assert {limit.name: limit.rate for limit in merged.rate_limits} == named
    buffers = [one["buffer"]["messages"] for one in general_first if "messages" in one.get("buffer", {})]
    assert merged.delivering.messages == (buffers or [5_000])[-1]


def test_the_merged_result_is_a_document_that_compiles() -> None:
    merged = merge(documents(org=WHOLE))
    assert compile_document("org", shown(merged)).document.rate_limits == merged.rate_limits
    assert shown(merged) == WHOLE | {"policies": [WHOLE["policies"][0]]}
