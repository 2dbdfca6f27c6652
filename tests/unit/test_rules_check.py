"""The check stage: its order, the names of its rules, policies that block, route and only watch."""

from typing import Any

import pytest

from shared.domain.config.document import Policy
from shared.domain.errors import Forbidden, NotProcessable, Overloaded, TooLarge, Unavailable
from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.rules.check import give_back, judge, routed
from shared.domain.rules.facts import Facts, needs_of
from shared.domain.rules.limits import Limits
from shared.domain.rules.policies import fired, group_of
from shared.domain.rules.rules import Rules
from tests.unit.config_samples import BOB, expressions_asked, judged, message, rule_of, scope, stored

NOBODY = Principal("eve", "acme", (Grant("publish", ("other.>",)),))
EVERYTHING: dict[str, Any] = {
    "max_bytes": 20,
    "schema": {"required": ["sku"]},
    "policies": [{"name": "cheap", "when": "data.price > 10", "reason": "too dear"}],
    "rate_limits": [{"name": "all", "per": [], "rate": 1, "burst": 1}],
}


def test_rules_are_asked_in_their_order_and_the_first_that_blocks_is_named() -> None:
    limits = Limits()
    wrong = message({"price": 11, "x": "y" * 20}, extensions={"org": "other"})
    rest: list[tuple[Message, Principal, str | None, type[Exception] | None]] = [
        (wrong, NOBODY, "max_bytes", TooLarge),
        (message({"price": 11}, extensions={"org": "other"}), NOBODY, "org", Forbidden),
        (message({"price": 11}), NOBODY, "grant", Forbidden),
        (message({"price": 11}), BOB, "schema", NotProcessable),
        (message({"price": 11, "sku": 1}), BOB, "policy:cheap", NotProcessable),
        (message({"price": 1, "sku": 1}), BOB, None, None),
        (message({"price": 1, "sku": 1}), BOB, "rate:all", Overloaded),
    ]
    for of, principal, rule, error in rest:
        found = judged(EVERYTHING, of, principal, limits)
        assert rule_of(found) == rule
        assert error is None or isinstance(found.blocked, error)


def test_a_policys_own_reason_is_told_when_it_blocks() -> None:
    found = judged(EVERYTHING, message({"price": 11, "sku": 1})).blocked
    assert found is not None
    assert found.detail == "too dear"


def test_a_token_is_left_when_something_else_refuses() -> None:
    limits = Limits()
    for _ in range(5):
        assert rule_of(judged(EVERYTHING, message({"price": 11, "sku": 1}), BOB, limits)) == "policy:cheap"
    assert rule_of(judged(EVERYTHING, message({"price": 1, "sku": 1}), BOB, limits)) is None


def test_the_wait_is_said_when_a_limit_refuses() -> None:
    limits = Limits()
    document = {"rate_limits": [{"name": "all", "per": ["source"], "rate": 3, "burst": 1}]}
    judged(document, message(), limits=limits)
    blocked = judged(document, message(), limits=limits).blocked
    assert blocked is not None
    assert blocked.retry_after_ms == 334
    assert rule_of(judged(document, message(source="/other"), limits=limits)) is None


def test_a_token_is_there_again_when_the_message_was_a_duplicate() -> None:
    limits, one = Limits(), scope({"rate_limits": [{"name": "all", "per": ["principal", "subject"], "rate": 1, "burst": 1}]})
    assert judge(message(), BOB, one, limits, 0).blocked is None
    give_back(message(), BOB, one, limits, 0)
    assert judge(message(), BOB, one, limits, 0).blocked is None
    assert rule_of(judge(message(), BOB, one, limits, 0)) == "rate:all"


@pytest.mark.parametrize("per", [["topic"], ["subject"], ["source"], ["principal"], ["topic", "subject", "source", "principal", "org"]])
def test_buckets_are_apart_when_a_part_of_their_key_differs(per: list[str]) -> None:
    (limit,) = scope({"rate_limits": [{"name": "l", "per": per, "rate": 1, "burst": 1}]}).limits
    alice = Principal("alice", "acme", ())
    some = [(message(), BOB), (message(topic="b"), BOB), (message(subject="-"), BOB), (message(source="b"), BOB), (message(), alice)]
    keys = [limit.key(of, principal) for of, principal in some]
    differing = {"topic": 1, "subject": 2, "source": 3, "principal": 4}
    for part, index in differing.items():
        assert (keys[index] != keys[0]) is (part in per)


def test_no_two_keys_are_one_when_names_hold_separators_or_are_long() -> None:
    (limit,) = scope({"rate_limits": [{"name": "l", "per": ["topic", "source"], "rate": 1, "burst": 1}]}).limits
    names = ["a", "a\0", "\0a", "a\x001\0a", "", "x" * 5_000, "x" * 5_001, "\ud800" * 200]
    keys = {limit.key(message(topic=topic, source=source), BOB) for topic in names for source in names}
    assert len(keys) == len(names) ** 2
    assert max(map(len, keys)) <= 96


def test_orgs_have_buckets_of_their_own_when_the_limit_is_everybodys() -> None:
    whole = Rules(stored({"global": {"rate_limits": [{"name": "l", "per": [], "rate": 1, "burst": 1}]}}))
    keys = {whole.scope(org, "a", None).limits[0].key(message(), BOB) for org in ("acme", "other")}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("of", "detail"),
    [
        (message({"sku": "x"}), None),
        (message(body=b"not json"), "not JSON"),
        (message({"sku": "x"}, datacontenttype="text/plain"), "not JSON"),
        (message(), "missing"),
        (message([]), "should be of type object"),
    ],
)
def test_data_is_held_against_the_schema(of: Message, detail: str | None) -> None:
    blocked = judged({"schema": {"type": "object", "required": ["sku"]}}, of).blocked
    assert (blocked.faults[0].detail if blocked is not None else None) == detail


def test_a_policy_blocks_under_its_own_name_when_it_cannot_be_evaluated() -> None:
    document = {"policies": [{"name": "first", "when": "data.other == 1"}, {"name": "second", "when": "data.price > 10"}]}
    found = judged(document, message({"price": 1}))
    assert rule_of(found) == "policy:first"
    assert found.blocked is not None
    assert "can't be evaluated" in found.blocked.detail


def test_the_first_policy_in_order_is_named_when_several_are_true() -> None:
    policies = [{"name": name, "when": f"data.price > {above}"} for name, above in (("never", 100), ("a", 5), ("b", 1))]
    assert rule_of(judged({"policies": policies}, message({"price": 10}))) == "policy:a"
    assert rule_of(judged({"policies": policies}, message({"price": 3}))) == "policy:b"
    assert rule_of(judged({"policies": policies}, message({"price": 0}))) is None


def test_policies_work_one_by_one_when_they_are_too_deep_for_one_expression() -> None:
    deep = "(" * 30 + "data.price > 10" + ")" * 30
    document = {"policies": [{"name": f"p{n}", "when": deep} for n in range(64)]}
    assert rule_of(judged(document, message({"price": 1}))) is None
    assert rule_of(judged(document, message({"price": 11}))) == "policy:p0"


def shadowing(when: str, **more: Any) -> dict[str, Any]:
    return {"policies": [{"name": "new", "when": when, "mode": "shadow", "reason": "why", **more}]}


def test_a_shadow_policy_changes_no_verdict_and_says_what_it_would_have_done() -> None:
    for document, outcome, to in [
        (shadowing("data.price > 10"), "block", ()),
        (shadowing("data.price > 10", effect="route", to=["cluster:eu"]), "route", ("cluster:eu",)),
        (shadowing("data.nope > 10"), "error", ()),
    ]:
        found = judged(document, message({"price": 11}))
        assert found.blocked is None
        assert found.to == ("local",)
        assert [(shadow.name, shadow.outcome, shadow.to) for shadow in found.shadows] == [("new", outcome, to)]
    assert judged(shadowing("data.price > 10"), message({"price": 1})).shadows == ()


def test_a_shadow_policy_is_asked_when_an_enforced_one_blocks() -> None:
    document = {"policies": [{"name": "old", "when": "true"}, {"name": "new", "when": "true", "mode": "shadow"}]}
    found = judged(document, message({}))
    assert rule_of(found) == "policy:old"
    assert [shadow.name for shadow in found.shadows] == ["new"]


ROUTED: dict[str, Any] = {
    "policies": [{"name": "big", "when": "message.size > 30", "effect": "route", "to": ["sink:archive", "global"]}],
    "routes": [{"when": 'message.subject == "eu-1"', "to": ["cluster:eu"]}, {"when": "data.price > 5", "to": ["backbone:dear"]}],
}


@pytest.mark.parametrize(
    ("of", "to", "by"),
    [
        (message({"price": 1, "note": "x" * 30}), ("sink:archive", "global"), "policy:big"),
        (message({"price": 1}, subject="eu-1"), ("cluster:eu",), "/routes/0"),
        (message({"price": 6}), ("backbone:dear",), "/routes/1"),
        (message({"price": 1}), (), ""),
    ],
)
def test_the_first_route_that_takes_a_message_gives_its_targets(of: Message, to: tuple[str, ...], by: str) -> None:
    found = judged(ROUTED, of)
    assert (found.to, found.routed_by) == (to, by)
    again = routed(of, BOB, scope(ROUTED))
    assert (again.to, again.routed_by) == (to, by)


PLACED: dict[str, Any] = {
    "policies": [{"name": "far", "when": 'message.topic.startsWith("far.")', "effect": "route", "to": ["global"]}],
    "routes": [
        {"when": "int(message.subject) > 3", "to": ["cluster:eu"]},
        {"when": 'message.org == "acme" && message.subject == "2"', "to": ["cluster:us"]},
    ],
}


@pytest.mark.parametrize("last", [[], [{"when": "data.price > 0", "to": ["local"]}]], ids=["asked once", "asked of each"])
@pytest.mark.parametrize(
    ("topic", "subject", "to", "by"),
    [
        ("a", "5", ("cluster:eu",), "/routes/0"),
        ("a", "2", ("cluster:us",), "/routes/1"),
        ("far.a", "x", ("global",), "policy:far"),
        ("a", "x", None, "route"),
        ("a", None, None, "route"),
    ],
)
def test_conditions_on_topic_and_subject_mean_the_same_whether_they_are_asked_once_or_of_each_message(
    monkeypatch: pytest.MonkeyPatch, last: list[Any], topic: str, subject: str | None, to: tuple[str, ...] | None, by: str
) -> None:
    rules = Rules(stored({"org": PLACED | {"routes": PLACED["routes"] + last}}))
    of = message({"price": 1}, topic=topic, subject=subject)
    asked = expressions_asked(monkeypatch)
    rules.scope("acme", topic, subject)
    asked.clear()
    for _ in range(2):
        found = judge(of, BOB, rules.scope("acme", topic, subject), Limits(), 0.0)
        assert (found.blocked is None) == (to is not None)
        assert rule_of(found) == (None if to is not None else by)
        if to is not None:
            assert (found.to, found.routed_by) == (to, by)
            assert routed(of, BOB, rules.scope("acme", topic, subject)) == found
    assert bool(asked) == (bool(last) or to is None)


def test_a_message_that_no_route_takes_goes_nowhere_when_conditions_are_asked_once() -> None:
    rules = Rules(stored({"org": {"routes": PLACED["routes"][1:]}}))
    found = judge(message({}, subject="7"), BOB, rules.scope("acme", "a", "7"), Limits(), 0.0)
    assert (found.blocked, found.to, found.routed_by) == (None, (), "")


def test_a_message_is_blocked_when_a_routes_condition_cannot_be_evaluated() -> None:
    assert rule_of(judged(ROUTED, message({"other": 1}))) == "route"
    assert rule_of(judged(ROUTED, message({"other": 1}, subject="eu-1"))) is None


def test_nothing_is_decided_when_a_document_cannot_be_read() -> None:
    for documents in (
        {"acme": {"org": b'{"from_the_future": 1}'}},
        {"acme": {"sources/x": b"{}"}},
        {"": {"global": b'{"retry":{"give_up_after":"x"}}'}},
    ):
        whole = Rules(documents)
        blocked = judge(message(), BOB, whole.scope("acme", "a", None), None, 0).blocked
        assert isinstance(blocked, Unavailable)


def test_a_stored_rule_that_does_not_compile_here_fails_closed() -> None:
    documents: list[tuple[dict[str, Any], str]] = [
        ({"policies": [{"name": "odd", "when": "future.thing == 1"}]}, "policy:odd"),
        ({"schema": {"$ref": "https://x.example/y"}}, "schema"),
        ({"routes": [{"when": "future.thing == 1", "to": ["local"]}]}, "route"),
    ]
    for document, rule in documents:
        assert rule_of(judged(document, message({}))) == rule


def test_rules_that_come_too_late_fail_closed() -> None:
    group = group_of([Policy("a", "data.nope"), Policy("b", "false")])
    facts = Facts(message({}), BOB, needs_of(group.shapes))
    ticks = iter([0.0, 0.1, 0.3])
    assert [(found.policy.name, found.error is not None) for found in fired(group, facts, lambda: next(ticks))] == [
        ("a", True),
        ("b", True),
    ]


def test_nothing_is_counted_when_there_are_no_buckets() -> None:
    for _ in range(3):
        assert judged(EVERYTHING, message({"price": 1, "sku": 1})).blocked is None
