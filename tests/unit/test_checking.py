"""Judging made-up events in a child process: what is said of them, and what stops the child."""

import msgspec
import pytest

from shared.checking import USUAL, Bounds, Question, verdicts
from shared.domain.errors import NotProcessable, Unavailable
from shared.domain.json_text import canonical
from shared.domain.principal import Grant, Principal

EVENT = canonical({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "topic": "orders.new", "data": {"n": 1}})
SHOP = Principal("shop", "acme", (Grant("publish"),))
NOW = 1_800_000_000_000_000


def question(document: dict[str, object], *events: bytes, bounds: Bounds = USUAL) -> Question:
    return Question({"acme": {"org": canonical(document)}}, "acme", SHOP, list(events), NOW, bounds)


async def test_each_event_has_its_verdict_in_order() -> None:
    document: dict[str, object] = {"policies": [{"name": "a", "when": "data.n == 1"}, {"name": "b", "when": "true", "mode": "shadow"}]}
    found = await verdicts(question(document, EVENT, b'{"id":1}', EVENT.replace(b'"n":1', b'"n":2')))
    read = [msgspec.json.decode(one) for one in found]
    assert [(one["status"], one["rule"]) for one in read] == [("blocked", "policy:a"), ("malformed", None), ("accepted", None)]
    assert [shadow["name"] for shadow in read[2]["shadows"]] == ["b"]


async def test_no_process_is_started_when_there_is_nothing_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent")
    assert await verdicts(question({})) == []


async def test_event_is_named_when_there_is_too_little_memory_for_it() -> None:
    with pytest.raises(NotProcessable) as caught:
        await verdicts(question({"policies": [{"name": "a", "when": "data.n == 1"}]}, EVENT, bounds=Bounds(memory=20 << 20)))
    assert [fault.pointer for fault in caught.value.faults] == ["/events/0"]


async def test_nobody_is_blamed_when_a_busy_machine_gives_the_child_no_time() -> None:
    with pytest.raises(Unavailable):
        await verdicts(question({}, EVENT, bounds=Bounds(seconds=0.001)))


async def test_event_that_takes_all_the_time_is_named_and_not_those_before_it() -> None:
    lines = [{"price": number} for number in range(90)]
    slow = canonical({"specversion": "1.0", "id": "2", "source": "/s", "type": "t", "data": {"lines": lines}})
    loop = {"name": "slow", "mode": "shadow", "when": "data.lines.all(l, data.lines.all(m, m.price + l.price >= 0))"}
    document: dict[str, object] = {"policies": [{**loop, "name": f"slow-{number}"} for number in range(40)]}
    with pytest.raises(NotProcessable) as caught:
        await verdicts(question(document, EVENT, *([slow] * 100), bounds=Bounds(cpu_seconds=3)))
    ((pointer, _),) = caught.value.faults
    assert pointer.startswith("/events/")
    assert 0 < int(pointer.rpartition("/")[2]) <= 100
