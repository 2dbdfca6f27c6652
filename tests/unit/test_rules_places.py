"""What rules ask of a message's place alone is asked once a place, and no verdict is another for it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.config.document import Policy
from shared.domain.rules import ways
from shared.domain.rules.check import judge
from shared.domain.rules.facts import Facts, needs_of
from shared.domain.rules.places import conjuncts, place_of
from shared.domain.rules.policies import fired, group_of
from shared.domain.rules.rules import Rules
from shared.domain.rules.scope import Scope
from tests.unit.config_samples import BOB, expressions_asked, message, rule_of, stored


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ["a"]),
        ("a && b&&c", ["a ", " b", "c"]),
        ("(a && b) && [c && d][0] && f(e && g)", ["(a && b) ", " [c && d][0] ", " f(e && g)"]),
        ('a == "&& (" && b == \'" && \'', ['a == "&& (" ', " b == '\" && '"]),
        ("a && b || c", ["a && b || c"]),
        ("a && (b || c)", ["a ", " (b || c)"]),
        ("a && b ? c : d", ["a && b ? c : d"]),
        ('a == "\\"" && b', ['a == "\\"" && b']),
        ("a // && b\n&& c", ["a // && b\n&& c"]),
        ('a == """ && """ && b', ['a == """ && """ && b']),
    ],
)
def test_a_rule_is_taken_apart_where_that_is_plain_to_see(text: str, parts: list[str]) -> None:
    assert conjuncts(text) == parts


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('message.topic == "pay" && data.amount > 1000', '(message.topic == "pay" \n)'),
        ('data.urgent && message.subject == "x" && message.org == "acme"', '( message.subject == "x" \n) && ( message.org == "acme"\n)'),
        ('message.topic == "pay" || data.amount > 1000', None),
        ('message.topic == "pay" && data.a || data.b', None),
        ("now.getHours() < 6 && true", None),
        ('message.topic == "pay" && ["a", "b"].exists(x, x == message.subject)', '(message.topic == "pay" \n)'),  # a loop may take seconds
        ('message.topic == "pay" // only that', '(message.topic == "pay" // only that\n)'),
        (" && ".join(['message.topic == "pay"'] * 76), None),  # with brackets it is longer than a rule may be
        ("(" * 32 + 'message.topic == "pay"' + ")" * 32, None),  # with brackets it is deeper
    ],
)
def test_a_rules_part_for_its_place_is_what_asks_for_nothing_else(text: str, place: str | None) -> None:
    found = place_of(text)
    assert (found and found.text) == place


PARTS = [
    'message.topic == "pay"',
    'message.topic.startsWith("orders.")',
    'message.subject == ""',
    "int(message.subject) > 3",  # fails for most
    "data.price > 10",
    "data.nope == 1",  # fails for all
    '(message.topic == "pay" || data.price > 10)',
    'message.source != ""',
    "data.urgent",
    "true",
]
policies = st.lists(
    st.tuples(
        st.lists(st.sampled_from(PARTS), min_size=1, max_size=3),
        st.sampled_from([" && ", " || "]),
        st.sampled_from(["block", "route", "shadow"]),
    ),
    max_size=6,
)
messages = st.tuples(
    st.sampled_from(["pay", "orders.new", "other"]),
    st.sampled_from([None, "5", "x"]),
    st.sampled_from([{"price": 11, "urgent": True}, {"price": 1, "urgent": False}, {}]),
)


@given(policies, st.lists(messages, min_size=1, max_size=12), st.booleans())
def test_a_verdict_is_the_same_when_a_scope_is_narrowed_down_to_a_place(
    made: list[tuple[list[str], str, str]], sent: list[tuple[str, str | None, Any]], conditional: bool
) -> None:
    document: dict[str, Any] = {"policies": []}
    for place, (parts, between, effect) in enumerate(made):
        policy: dict[str, Any] = {"name": f"p{place}", "when": between.join(parts), "mode": "shadow" if effect == "shadow" else "enforce"}
        document["policies"].append(policy | ({"effect": "route", "to": ["global"]} if effect == "route" else {}))
    if conditional:
        document["routes"] = [{"when": "data.price > 10", "to": ["cluster:eu"]}, {"to": ["local"]}]
    rules = Rules(stored({"org": document}))
    for topic, subject, data in sent:
        of = message(data, topic=topic, subject=subject)
        whole = rules._scope("acme", rules.matching("acme", topic, subject))
        assert told(judge(of, BOB, rules.scope("acme", topic, subject), None, 0.0)) == told(judge(of, BOB, whole, None, 0.0))


def told(judgement: Any) -> tuple[Any, ...]:
    """What a verdict comes to, errors by what they say."""
    blocked = judgement.blocked
    return rule_of(judgement), blocked and blocked.detail, judgement.to, judgement.routed_by, judgement.shadows


def test_a_policy_is_not_asked_where_it_cannot_be_true(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Rules(stored({"org": {"policies": [{"name": "dear", "when": 'message.topic == "pay" && data.price > 10'}]}}))
    asked = expressions_asked(monkeypatch)
    assert rules.scope("acme", "orders", None).free
    assert not rules.scope("acme", "pay", None).free
    asked.clear()
    assert rule_of(judge(message({"price": 11}, topic="orders"), BOB, rules.scope("acme", "orders", None), None, 0.0)) is None
    assert not asked
    assert rule_of(judge(message({"price": 11}, topic="pay"), BOB, rules.scope("acme", "pay", None), None, 0.0)) == "policy:dear"


def test_a_policy_for_another_topic_does_not_block_what_it_could_take_too_long_on() -> None:
    slow = "data.l.all(a, data.l.all(b, a == b || data.l == data.l))"
    rules = Rules(stored({"org": {"max_bytes": 2_000_000, "policies": [{"name": "slow", "when": f'message.topic == "pay" && !{slow}'}]}}))
    body = b'{"l":[' + b",".join([b"1"] * 100_000) + b"]}"
    for topic, rule in (("pay", "policy:slow"), ("orders", None)):
        whole = rules._scope("acme", rules.matching("acme", topic, None))
        of = message(body=body, topic=topic)
        assert [rule_of(judge(of, BOB, one, None, 0.0)) for one in (whole, rules.scope("acme", topic, None))] == [rule, rule]


@pytest.mark.parametrize(
    "text",
    [
        'message.topic == "pay" // only that',
        " && ".join(['message.topic == "pay"'] * 76),
        "(" * 32 + 'message.topic == "pay"' + ")" * 32,
    ],
)
def test_a_rule_that_compiles_is_asked_when_its_part_for_the_place_does_not(text: str) -> None:
    rules = Rules(stored({"org": {"policies": [{"name": "p", "when": text}]}}))
    for topic, rule in (("pay", "policy:p"), ("orders", None)):
        assert rule_of(judge(message({}, topic=topic), BOB, rules.scope("acme", topic, None), None, 0.0)) == rule


def test_a_place_is_not_asked_for_when_the_rules_before_took_too_long() -> None:
    when = 'message.topic == "pay" && data.price > 10'
    group = group_of([Policy(name=f"p{at}", when="data.nope == 1" if at == 0 else when) for at in range(3)])
    facts = Facts(message({}, topic="orders"), BOB, needs_of(group.shapes))
    times = iter([0.0, 0.0, 1.0, 1.0])
    found = fired(group, facts, lambda: next(times))
    assert [(one.policy.name, one.error) for one in found[1:]] == [(name, "the rules before it took too long") for name in ("p1", "p2")]


def test_a_scope_is_narrowed_down_in_a_few_ways_only_however_many_places_there_are() -> None:
    count = 2 * ways.MAX_WAYS
    policies = [{"name": f"p{at}", "when": f'message.subject.startsWith("s{at}-") && data.price > 10'} for at in range(count)]
    rules = Rules(stored({"org": {"policies": policies}}))
    scopes = [rules.scope("acme", "a", f"s{at}-") for at in range(count)]
    assert len({id(one) for one in scopes}) == ways.MAX_WAYS + 1
    for at, scope in enumerate(scopes):
        assert rule_of(judge(message({"price": 11}, topic="a", subject=f"s{at}-"), BOB, scope, None, 0.0)) == f"policy:p{at}"


def by_subject(count: int) -> dict[str, Any]:
    """Documents of an org whose scope is another one for each of so many subjects."""
    return {"org": {"policies": [{"name": f"p{at}", "when": f'message.subject == "s{at}" && data.price > 10'} for at in range(count)]}}


def policies_asked(rules: Rules, org: str, at: int) -> int:
    """How many policies a message of a subject is asked for; one of them blocks it, however many that are."""
    scope = rules.scope(org, "a", f"s{at}")
    assert rule_of(judge(message({"price": 11}, topic="a", subject=f"s{at}"), BOB, scope, None, 0.0)) == f"policy:p{at}"
    return len(scope.blockers.asked)


def test_scopes_that_are_narrowed_stay_when_there_are_too_many_and_others_are_asked_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """All were forgotten for each that was one too many: who made up subjects had each of his messages compile for 3 ms."""
    monkeypatch.setattr(ways, "MAX_NARROWED", 6)
    rules = Rules(stored(by_subject(5)))
    narrowed = expressions_compiled(monkeypatch)
    for _ in range(3):
        assert [policies_asked(rules, "acme", at) for at in range(5)] == [1, 1, 1, 5, 5]
        rules._known.clear()
    assert len(narrowed) == len(rules._ways) == 3


def test_an_org_has_as_many_narrowed_scopes_as_it_leaves_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "MAX_NARROWED", 6)
    rules = Rules(stored(by_subject(5)) | {"globex": stored(by_subject(5))["acme"]})
    assert [policies_asked(rules, "acme", at) for at in range(5)] == [1, 1, 1, 5, 5]
    assert [policies_asked(rules, "globex", at) for at in range(5)] == [1, 1, 5, 5, 5]


def test_narrowed_scopes_are_others_when_many_had_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "MAX_NARROWED", 2)
    monkeypatch.setattr(ways, "REFUSED", 3)
    rules = Rules(stored(by_subject(5)))
    assert [policies_asked(rules, "acme", at) for at in range(5)] == [1, 5, 5, 5, 1]
    assert [policies_asked(rules, "acme", at) for at in (0, 4)] == [5, 1]


def test_narrowed_scopes_are_kept_when_another_org_s_documents_change(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = stored(by_subject(5))
    before = Rules(documents)
    assert policies_asked(before, "acme", 0) == 1
    narrowed = expressions_compiled(monkeypatch)
    after = Rules(documents | {"globex": stored(by_subject(2))["acme"]}, before)
    assert policies_asked(after, "acme", 0) == 1
    assert not narrowed
    changed = Rules(stored(by_subject(4)), after)
    assert (policies_asked(changed, "acme", 0), len(changed._ways)) == (1, 1)
    assert narrowed


def expressions_compiled(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[str]]:
    """The ways in which scopes are narrowed from now on."""
    found: list[frozenset[str]] = []
    without = Scope.without

    def noted(self: Scope, false: frozenset[str]) -> Scope:
        found.append(false)
        return without(self, false)

    monkeypatch.setattr(Scope, "without", noted)
    return found
