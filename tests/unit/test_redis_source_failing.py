"""The Redis door when our own code fails, a worker dies of an element, or its lists are away: the others go on."""

import json
from collections.abc import Sequence
from functools import partial

import pytest

from functions.redis_source import element, handler
from functions.redis_source.element import Work
from functions.redis_source.element import read as elements_read
from functions.redis_source.handler import Lane
from shared.adapters.memory.submit_lists import MemorySubmitLists
from shared.codec import Context
from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.message import Message, message_id, uuid_text
from shared.domain.submitted import Batch, Element, Settlement, Side
from shared.sources.backoff import Backoff
from shared.sources.outcomes import FAILED_HERE, MAX_DELIVERIES, MAX_FAILURES, Settled, inline
from shared.sources.room import Room
from tests.unit.redis_doors import Door, encoded, event


@pytest.mark.parametrize("place", [0, 500, 999])
async def test_element_that_our_code_fails_over_is_rejected_and_its_neighbours_go_on(
    door: Door, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """One was tried for ever, and with it all that came behind it."""
    monkeypatch.setattr(handler, "Backoff", partial(Backoff, first_ms=1))
    tried: list[str] = []

    def judge(message: Message) -> SwitchboardError | None:
        tried.append(message.event_id)
        if message.event_id == f"e{place}":
            raise RuntimeError("a bug")
        return None

    door.judge = judge
    door.lists.push("acme", *(encoded(event(f"e{number}")) for number in range(1_000)))
    await door.emptied()
    good = [f"e{number}" for number in range(1_000) if number != place]
    assert list(dict.fromkeys(one["id"] for one in door.receipts())) == [uuid_text(message_id("acme", "/shop", id)) for id in good]
    (entry,) = door.rejected()
    assert entry["reason"] == FAILED_HERE
    assert json.loads(entry["raw"])["id"] == f"e{place}"
    assert tried.count(f"e{place}") <= MAX_FAILURES + 1 + 10  # alone, and with ever fewer of a thousand
    door.lists.push("acme", encoded(event("after")))
    await door.emptied()
    assert len(door.receipts()) == 1_000


async def test_element_that_cannot_even_be_read_is_rejected_and_its_neighbours_go_on(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(element: Element, context: Context, known: Sequence[Settled | None] | None = None) -> Work:
        if element == b"poison":
            raise RecursionError
        return really(element, context, known)

    really = elements_read
    monkeypatch.setattr(element, "read", read)
    monkeypatch.setattr(handler, "Backoff", partial(Backoff, first_ms=1))
    door.lists.push("acme", encoded(event("e1")), b"poison", encoded(event("e2")))
    await door.emptied()
    assert [message.event_id for message in door.accepted] == ["e1", "e2"]
    assert [(entry["reason"], entry["raw"]) for entry in door.rejected()] == [(FAILED_HERE, "poison")]


async def test_outcomes_that_are_known_are_not_asked_for_again_when_a_later_try_fails(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "Backoff", partial(Backoff, first_ms=1))
    tries: dict[str, int] = {}

    def judge(message: Message) -> SwitchboardError | None:
        count = tries[message.event_id] = tries.get(message.event_id, 0) + 1
        if message.event_id == "e1" and count == 1:
            return Unavailable("away", retry_after_ms=1)
        if message.event_id == "e1" and count == 2:
            raise RuntimeError("a bug, for a moment")
        return None

    door.judge = judge
    door.lists.push("acme", *(encoded(event(f"e{number}")) for number in (1, 2, 3)))
    await door.emptied()
    assert tries == {"e1": 3, "e2": 1, "e3": 1}
    assert [receipt["duplicate"] for receipt in door.receipts()] == [False] * 3
    assert door.rejected() == []


async def test_element_is_rejected_unread_when_workers_die_of_it_again_and_again() -> None:
    door = Door()
    door.lists.push("acme", encoded(event("e1")), encoded(event("poison")), encoded(event("e2")))
    alive = MemorySubmitLists(door.lists, "alive")
    for _ in range(100):
        dead = MemorySubmitLists(door.lists, "dead")
        batch = await dead.take("acme")
        if batch.deaths > MAX_DELIVERIES or not batch.elements:
            break
        if batch.elements == [encoded(event("e1"))]:
            assert await dead.settle("acme", "taken", batch, 1, Settlement())
            continue
        door.lists.beats["acme", "dead"] -= 10
        assert await alive.recover(["acme"]) == len(batch.elements)
    await dead.leave(["acme"])
    lane = Lane("acme", alive, inline(door.submit, door.counters), lambda: door.snapshot, Room(), door.source.counts)
    await lane.drain(door.stop)
    assert [message.event_id for message in door.accepted] == ["e2"]
    (entry,) = door.rejected()
    assert entry["reason"] == "it was taken 21 times, and never had an outcome: whoever took it is gone"
    assert json.loads(entry["raw"])["id"] == "poison"


async def test_newest_are_refused_all_the_same_when_one_of_them_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(works: Sequence[Work]) -> Settlement:
        raise RecursionError

    monkeypatch.setattr(element, "told", told)
    door = Door(limit=3)
    door.lists.push("acme", *(encoded(event(f"e{number}")) for number in range(6)))
    await door.source._lane("acme").shed(door.stop)
    assert len(door.rejected()) == len(door.lists.submitted["acme"]) == 3
    assert {entry["reason"] for entry in door.rejected()} == {element.FULL}


async def test_settling_is_tried_again_when_the_lists_cannot_be_reached() -> None:
    class Flaky(MemorySubmitLists):
        failures = 2

        async def settle(self, org: str, side: Side, batch: Batch, done: int, told: Settlement) -> bool:
            if self.failures:
                self.failures -= 1
                raise Unavailable("away")
            return await super().settle(org, side, batch, done, told)

    door = Door()
    door.lists.push("acme", encoded(event("e1")))
    lane = Lane("acme", Flaky(door.lists), inline(door.submit, door.counters), lambda: door.snapshot, Room(), door.source.counts)
    await lane.drain(door.stop)
    assert len(door.accepted) == len(door.receipts()) == 1
