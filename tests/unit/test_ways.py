"""The short way ends where the stages' way ends, or leaves the messages to them; in C and in Python."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions import ways
from functions.check_constraints import handler
from functions.pipeline import _accepted
from functions.ways import Ways
from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.record import Accepted
from shared.domain.rules.limits import Limits
from shared.domain.snapshot import Snapshot
from tests.compiled import came_to, compiled, in_python, same
from tests.events import message
from tests.unit.test_pipeline_rules import Ruled

ANYTHING = Principal("any", "acme", (Grant("publish"),))
ORDERS = Principal("orders", "acme", (Grant("publish", ("orders.>",), ("agent-*",)),))
DOCUMENTS: list[dict[str, dict[str, Any]]] = [
    {},
    {"org": {"max_bytes": 20}},
    {"org": {"rate_limits": [{"name": "l", "per": ["topic"], "rate": 1000, "burst": 1000}]}},
    {"org": {"policies": [{"name": "p", "when": 'message.topic == "pay"'}]}},
    {"topics/orders.>": {"policies": [{"name": "p", "when": "data.n > 1", "mode": "shadow"}]}},
    {"topics/orders.>": {"routes": [{"when": 'message.subject == "agent-1"', "to": ["backbone:none"]}, {"to": ["local", "cluster:no"]}]}},
    {"topics/orders.>": {"routes": [{"when": "data.n > 1", "to": ["global"]}, {"to": ["local"]}]}},
    {"topics/orders.>": {"schema": {"type": "object"}}, "org": {"max_bytes": 100}},
    {"topics/pay": {"buffer": {"in_flight": 3}}},
]
MESSAGES = st.lists(
    st.builds(
        message,
        topic=st.sampled_from(["orders.created", "orders.paid", "pay"]),
        subject=st.sampled_from([None, "agent-1", "agent-2", "other"]),
        body=st.sampled_from([None, b"{}", b'{"n":2}', b'"' + b"x" * 50 + b'"']),
        extensions=st.sampled_from([None, {"tenant": "a"}, {"org": "acme"}, {"org": "other"}]),
        revision=st.sampled_from([42, 42, 42, 42, 42, 1]),
    ),
    min_size=1,
    max_size=6,
)


def snapshot(documents: dict[str, dict[str, Any]]) -> Snapshot:
    stored = {path: json.dumps(document).encode() for path, document in documents.items()}
    return Snapshot(revision=42, keys={}, documents={"acme": stored})


async def by_stages(messages: Sequence[Message], principal: Principal, under: Snapshot) -> list[Accepted] | None:
    """The records of messages that nothing blocks; None where something does."""
    verdicts = await handler.handle(messages, principal, under, Limits())
    if any(verdict is not None for verdict in verdicts):
        return None
    return [_accepted(each, None, principal, under) for each in messages]


@pytest.mark.parametrize("documents", DOCUMENTS, ids=str)
@settings(max_examples=60, deadline=None)
@given(MESSAGES, st.sampled_from([ANYTHING, ORDERS]))
async def test_records_are_those_of_the_stages_when_the_short_way_gives_any(
    documents: dict[str, dict[str, Any]], messages: list[Message], principal: Principal
) -> None:
    under, short = snapshot(documents), Ways()
    assert short.accepted(messages, principal, under) is None, "nothing is compiled on the short way"
    expected = await by_stages(messages, principal, under)
    made = [short.accepted(messages, principal, under) for _ in range(2)]
    with in_python():
        assert made == [Ways().accepted(messages, principal, under)] * 2
    assert made[0] is None or same(made[0], expected)


async def test_messages_take_the_short_way_when_nothing_is_asked_of_them() -> None:
    messages, under, short = [message("e1", revision=42), message("e2", revision=42, subject="agent-1")], snapshot({}), Ways()
    await by_stages(messages, ANYTHING, under)
    records = short.accepted(messages, ANYTHING, under)
    assert records == [Accepted(each, ("local",)) for each in messages]
    assert same(compiled().accepted(tuple(messages), short._of[ANYTHING], 42), records)


async def test_ways_are_forgotten_when_the_config_is_another() -> None:
    one, before, after, short = message(revision=42), snapshot({}), snapshot({"org": {"max_bytes": 2}}), Ways()
    for under in (before, after):
        await by_stages([one], ANYTHING, under)
    assert short.accepted([one], ANYTHING, before) is not None
    assert short.accepted([one], ANYTHING, after) is None
    assert short.accepted([one], ANYTHING, before) is not None


async def test_grants_are_the_senders_when_another_has_been_there() -> None:
    one, under, short = message(topic="pay", revision=42), snapshot({}), Ways()
    await by_stages([one], ANYTHING, under)
    assert short.accepted([one], ANYTHING, under) is not None
    assert short.accepted([one], ORDERS, under) is None
    assert short.accepted([one], Principal("none", "acme", ()), under) is None


async def test_what_is_remembered_is_bounded_when_subjects_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "MAX_KNOWN", 10)
    under, short = snapshot({}), Ways()
    for number in range(35):
        one = message(subject=f"agent-{number}", revision=42)
        await by_stages([one], ANYTHING, under)
        assert short.accepted([one], ANYTHING, under) is not None
        assert sum(map(len, short._of.values())) <= 10
    senders = [Principal(f"p-{number}", "acme", (Grant("publish"),)) for number in range(35)]
    for sender in senders:
        assert short.accepted([one], sender, under) is not None
    assert len(short._of) <= 11


async def test_pipeline_asks_no_stage_when_the_place_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    product, asked = Ruled(), []
    check = product.pipeline.check

    async def counted(messages: Sequence[Message], principal: Principal, under: Snapshot) -> list[Any]:
        asked.append(len(messages))
        return await check(messages, principal, under)

    msgspec.structs.force_setattr(product.pipeline, "check", counted)
    for number in range(3):
        await product.submit(message(f"e{number}", revision=42), message(f"f{number}", revision=42, topic="pay"))
    assert asked == [2]
    assert len(product.logged()) == 6


ODD: list[tuple[Any, ...]] = [
    ([message(revision=42), None], 42),
    ([message(revision=42), msgspec.structs.replace(message(), revision=True)], 1),
    ([msgspec.structs.replace(message(), body="text")], 1),
    ([msgspec.structs.replace(message(), body=bytearray(2))], 1),
    ([msgspec.structs.replace(message(), extensions=("org",))], 1),
    ([msgspec.structs.replace(message(), topic=["orders.created"])], 1),  # no key of a dict
    ([message(subject="unknown")], 1),
    (iter([message()]), 1),
    (5, 1),
]


@pytest.mark.parametrize("odd", ODD, ids=("none", "bool", "text", "bytearray", "extensions", "topic", "place", "iterator", "number"))
def test_messages_are_left_to_python_when_one_is_odd(odd: tuple[Any, ...]) -> None:
    messages, revision = odd
    known = {("acme", "orders.created", None): ways.Way(100, ("local",), None)}
    assert compiled().accepted(messages, known, revision) is None


@pytest.mark.parametrize("known", [None, 5, (), (5, (), None), ("5", (), None), (2**70, (), None), (5, ())], ids=str)
def test_messages_are_left_to_python_when_a_way_is_none(known: Any) -> None:
    assert compiled().accepted([message(body=b"{}")], {("acme", "orders.created", None): known}, 1) is None or known == (5, (), None)


@pytest.mark.parametrize("arguments", [(), ([], {}), ([], [], 1), ([], {}, "1"), ([], {}, 2**70)], ids=str)
def test_it_says_what_it_wants_when_it_is_given_something_else(arguments: tuple[Any, ...]) -> None:
    assert came_to(compiled().accepted, *arguments) is TypeError


@pytest.mark.parametrize("documents", [{}, {"topics/pay": {"buffer": {"in_flight": 3}}}], ids=["new places", "counted"])
async def test_senders_are_not_kept_when_nothing_is_known_of_their_messages(documents: dict[str, dict[str, Any]]) -> None:
    under, short = snapshot(documents), Ways()
    for number in range(20):
        one = message(subject=f"agent-{number}", revision=42)
        assert short.accepted([one], Principal(f"issuer/{number}", "acme", (Grant("publish"),)), under) is None
    assert short._of == {}


async def test_log_is_not_asked_when_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An append without records was an error in the midst of everybody's flush."""
    product = Ruled()
    monkeypatch.setattr(product.log, "append", None)
    assert await product.submit() == []
