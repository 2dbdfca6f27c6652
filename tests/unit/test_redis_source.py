"""The Redis door on lists in memory: what is told, what stays, in which order, and how much at once."""

import asyncio
import json
from collections.abc import Sequence
from typing import ClassVar

import msgspec
import pytest

from functions.redis_source import element
from functions.redis_source.element import MAX_RAW, rejection
from functions.redis_source.handler import BATCH_BYTES, Lane
from shared.adapters.memory.submit_lists import MemorySubmitLists
from shared.codec import Context
from shared.codec.batch import split_array
from shared.domain.errors import Forbidden, Overloaded, SwitchboardError, Unavailable
from shared.domain.message import Message
from shared.domain.snapshot import Snapshot
from shared.domain.submitted import Batch, Oversized, Settlement, Side
from shared.sources.outcomes import inline
from shared.sources.room import Room
from tests.unit.redis_doors import MINE, ORDERS, Door, encoded, event
from tests.waiting import eventually


async def test_receipts_come_in_order_when_events_are_pushed_alone_and_in_arrays(door: Door) -> None:
    door.lists.push("acme", encoded(event("e1")), encoded(event("e2"), event("e3")), encoded(event("e4")))
    await door.emptied()
    assert [message.event_id for message in door.accepted] == ["e1", "e2", "e3", "e4"]
    assert {(message.door, message.principal, message.org, message.revision) for message in door.accepted} == {
        ("redis", "redis:acme", "acme", 7)
    }
    assert [receipt["status"] for receipt in door.receipts()] == ["accepted"] * 4
    assert door.receipts()[0].keys() == {"id", "status", "duplicate", "org", "topic", "subject", "config_revision", "deliveries"}
    assert door.rejected() == []
    assert (door.counters.accepted, door.source.counts.taken) == (4, 3)


async def test_principal_is_configs_when_it_says_something_of_the_door(door: Door) -> None:
    door.snapshot = Snapshot(8, {}, orgs=("acme",), doors={"redis:acme": ORDERS})
    door.lists.push("acme", encoded(event()))
    await door.emptied()
    assert door.principals == [ORDERS]


async def test_refusal_is_a_receipt_and_no_rejection_when_a_rule_blocks(door: Door) -> None:
    door.judge = lambda message: Forbidden("no", rule="grant") if message.event_id == "e2" else None
    door.lists.push("acme", encoded(event("e1")), encoded(event("e2")), encoded(event("e3")))
    await door.emptied()
    assert [receipt["status"] for receipt in door.receipts()] == ["accepted", "blocked", "accepted"]
    assert door.receipts()[1]["problem"]["rule"] == "grant"
    assert door.rejected() == []


BAD = [b"", b"\x00", b"\xff\xfe", b"not json", b"{", b"[", b"null", b"1", b'"text"', b"[1,2", b"{}", b'{"id":"\\ud800"}', b"[" * 100_000]


@pytest.mark.parametrize("bad", BAD, ids=repr)
async def test_element_is_rejected_with_reason_and_bytes_and_harms_nobody_when_it_cannot_be_read(door: Door, bad: bytes) -> None:
    door.lists.push("acme", encoded(event("e1")), bad, encoded(event("e2")))
    door.lists.push("globex", encoded(event("e3", replyto=None)))
    await door.emptied()
    await door.emptied("globex")
    assert sorted(message.event_id for message in door.accepted) == ["e1", "e2", "e3"]
    (entry,) = door.rejected()
    assert entry["reason"]
    assert entry["bytes"] == len(bad)
    import base64

    raw = entry["raw"].encode() if "raw" in entry else base64.b64decode(entry["raw_base64"])
    assert raw == bad[:MAX_RAW]
    assert door.rejected("globex") == []


async def test_bad_item_of_an_array_is_rejected_alone_and_told_to_its_sender(door: Door) -> None:
    bad = event("e2", time="yesterday")
    door.lists.push("acme", encoded(event("e1"), bad, event("e3")))
    await door.emptied()
    assert [message.event_id for message in door.accepted] == ["e1", "e3"]
    assert [receipt["status"] for receipt in door.receipts()] == ["accepted", "malformed", "accepted"]
    assert door.receipts()[1]["problem"]["errors"][0]["pointer"] == "/time"
    (entry,) = door.rejected()
    assert entry["reason"].startswith("event 1 of the array: /time: ")
    assert [fault["pointer"] for fault in entry["errors"]] == ["/time"]
    assert json.loads(entry["raw"]) == bad


async def test_receipt_goes_nowhere_when_it_is_wanted_outside_the_orgs_own_lists(door: Door) -> None:
    places = ("sb:receipts:{globex}:x", "sb:submit:{acme}", "sb:log:{0}:queue", "", "x")
    door.lists.push("acme", *(encoded(event(f"e{number}", replyto=place)) for number, place in enumerate(places)))
    door.lists.push("acme", encoded(event("e9", replyto=7)))
    await door.emptied()
    assert len(door.accepted) == 6
    assert not any(door.lists.receipts.values())


async def test_elements_stay_and_are_tried_again_in_order_when_their_outcome_is_not_known(door: Door) -> None:
    tries: dict[str, int] = {}

    def judge(message: Message) -> SwitchboardError | None:
        tries[message.event_id] = tries.get(message.event_id, 0) + 1
        if message.event_id == "e2" and tries["e2"] < 3:
            return Unavailable("away", retry_after_ms=1) if tries["e2"] == 1 else Overloaded("our own load", retry_after_ms=1)
        return None

    door.judge = judge
    door.lists.push("acme", encoded(event("e1")), encoded(event("e2"), event("e3")), encoded(event("e4")))
    await eventually(lambda: len(door.receipts()) == 1)
    door.lists.push("acme", encoded(event("e5")))
    await door.emptied()
    assert [receipt["status"] for receipt in door.receipts()] == ["accepted"] * 5
    assert tries == {"e1": 1, "e2": 3, "e3": 1, "e4": 1, "e5": 1}  # what has its outcome isn't asked again
    assert door.accepted[-1].event_id == "e5"
    assert door.source.counts.waits == 2


async def test_other_orgs_go_on_when_one_org_waits(door: Door) -> None:
    door.judge = lambda message: Unavailable("full", rule="log-quota", retry_after_ms=1) if message.org == "acme" else None
    door.lists.push("acme", encoded(event("e1")))
    await eventually(lambda: door.source.counts.waits > 0)
    door.lists.push("globex", encoded(event("e2", replyto=None)))
    await eventually(lambda: [message.event_id for message in door.accepted] == ["e2"])
    assert door.lists.held["acme", "one", "taken"]


async def test_element_is_rejected_when_it_is_larger_than_anything_a_door_reads() -> None:
    class Huge(MemorySubmitLists):
        async def take(self, org: str, side: Side = "taken") -> Batch:
            batch = await super().take(org, side)
            return msgspec.structs.replace(batch, elements=[Oversized(9_000_000, b"x" * 10) for _ in batch.elements])

    door = Door()
    door.lists.push("acme", b"x")
    lane = Lane("acme", Huge(door.lists), inline(door.submit, door.counters), lambda: door.snapshot, Room(), door.source.counts)
    await lane.drain(door.stop)
    (entry,) = door.rejected()
    assert (entry["bytes"], entry["cut"], entry["raw"]) == (9_000_000, True, "x" * 10)


async def test_wrong_type_is_said_once_until_it_is_a_list_again() -> None:
    class Wrong(MemorySubmitLists):
        types: ClassVar = ["string", "string", None, "hash"]

        async def take(self, org: str, side: Side = "taken") -> Batch:
            if not self.types:
                return await super().take(org, side)
            return Batch(wrong_type=self.types.pop(0), elements=[b"1"] if self.types and self.types[0] == "hash" else [])

        async def settle(self, org: str, side: Side, batch: Batch, done: int, told: Settlement) -> bool:
            self._lists.rejected[org] += told.rejected
            return True

    door = Door()
    lane = Lane("acme", Wrong(door.lists), inline(door.submit, door.counters), lambda: door.snapshot, Room(), door.source.counts)
    for _ in range(4):
        await lane._turn(door.stop)
    assert [entry["reason"] for entry in door.rejected() if "submit key" in entry["reason"]] == [
        "the submit key holds a string, not a list: remove it",
        "the submit key holds a hash, not a list: remove it",
    ]


async def test_newest_are_refused_when_the_list_holds_more_than_it_may() -> None:
    door = Door(limit=3)
    door.lists.push("acme", *(encoded(event(f"e{number}")) for number in range(6)), b"not json")
    await door.source._lane("acme").shed(door.stop)
    assert [receipt["problem"]["rule"] for receipt in door.receipts()] == ["submit-quota"] * 3
    assert {receipt["problem"]["status"] for receipt in door.receipts()} == {429}
    assert len(door.rejected()) == 4
    assert len(door.lists.submitted["acme"]) == 3
    assert door.source.counts.shed == 4
    assert door.accepted == []


async def test_orgs_are_served_when_they_come_and_no_more_when_they_are_gone(door: Door) -> None:
    door.lists.push("initech", encoded(event("e1", replyto=None)))
    door.snapshot = Snapshot(8, {}, orgs=("initech",))
    await door.emptied("initech")
    door.lists.push("acme", encoded(event("e2")))
    door.lists.push("initech", encoded(event("e3", replyto=None)))
    await door.emptied("initech")
    assert [message.event_id for message in door.accepted] == ["e1", "e3"]
    assert door.lists.submitted["acme"]


async def test_no_more_batches_are_in_flight_than_there_is_room_for() -> None:
    orgs = tuple(f"org-{number}" for number in range(20))
    door = Door(room=Room(max_bytes=3 * BATCH_BYTES))
    door.snapshot = Snapshot(7, {}, orgs=orgs)
    for org in orgs:
        door.lists.push(org, *(encoded(event(f"{org}-{number}", replyto=None)) for number in range(5)))
    running = asyncio.create_task(door.source.run(door.stop))
    await eventually(lambda: len(door.accepted) == 100)
    door.stop.set()
    await running
    assert 1 < door.most <= 3


async def test_what_is_held_is_put_back_when_the_door_closes() -> None:
    door = Door()
    door.judge = lambda message: Unavailable("away", retry_after_ms=60_000)
    door.lists.push("acme", encoded(event("e1")), encoded(event("e2")))
    running = asyncio.create_task(door.source.run(door.stop))
    await eventually(lambda: door.source.counts.waits > 0)
    door.stop.set()
    await running
    assert [json.loads(element)["id"] for element in door.lists.submitted["acme"]] == ["e1", "e2"]
    assert not door.lists.beats


async def test_dead_workers_elements_are_taken_over(door: Door) -> None:
    dead = MemorySubmitLists(door.lists, "dead")
    door.lists.push("acme", encoded(event("e1")))
    await dead.take("acme")
    door.lists.beats["acme", "dead"] -= 10
    await MemorySubmitLists(door.lists, "one").recover(["acme"])
    await eventually(lambda: len(door.accepted) == 1)


async def test_nothing_is_believed_to_be_known_when_the_lists_hold_an_older_batch_of_the_worker(door: Door) -> None:
    """After a failover: the replica never heard of the last batch, nor that the one before was done."""
    door.judge = lambda message: Unavailable("away", retry_after_ms=1) if message.event_id == "e1" else None
    door.lists.push("acme", *(encoded(event(f"e{number}")) for number in (1, 2, 3)))
    await eventually(lambda: door.source.counts.waits > 1)
    assert [message.event_id for message in door.accepted] == ["e2", "e3"]
    door.lists.held["acme", "one", "taken"][:] = [encoded(event(f"older-{number}")) for number in (1, 2, 3)]
    door.lists.batches["acme", "one", "taken"] = (0, False)
    await door.emptied()
    assert [message.event_id for message in door.accepted] == ["e2", "e3", "older-1", "older-2", "older-3"]
    assert len(door.receipts()) == 3


async def test_what_is_held_is_put_back_when_its_org_goes_and_is_worked_off_when_it_comes_back(door: Door) -> None:
    away = True
    door.judge = lambda message: Unavailable("away", retry_after_ms=1) if away else None
    door.lists.push("acme", *(encoded(event(f"e{number}")) for number in (1, 2)))
    await eventually(lambda: door.source.counts.waits > 1)
    door.snapshot = Snapshot(8, {}, orgs=("globex",))
    await eventually(lambda: not door.source.busy)
    assert [json.loads(element)["id"] for element in door.lists.submitted["acme"]] == ["e1", "e2"]
    assert not door.lists.held["acme", "one", "taken"]
    assert not door.lists.beats
    away = False
    door.snapshot = Snapshot(9, {}, orgs=("acme", "globex"))
    await door.emptied()
    assert [message.event_id for message in door.accepted] == ["e1", "e2"]


def test_rejection_shows_the_beginning_when_the_element_is_long() -> None:
    entry = json.loads(rejection("why", b"x" * (MAX_RAW + 1)))
    assert (entry["bytes"], len(entry["raw"]), entry["cut"]) == (MAX_RAW + 1, MAX_RAW, True)
    assert "raw_base64" in json.loads(rejection("why", b"\xff"))


def test_an_array_is_split_once_when_a_thousand_of_its_events_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an event, 8 MiB of them held up every org's list for minutes, and lost the worker its heartbeat."""
    splits: list[int] = []

    def counted(body: bytes) -> Sequence[bytes | msgspec.Raw]:
        splits.append(len(body))
        return split_array(body)

    monkeypatch.setattr(element, "split_array", counted)
    array = encoded(*({"specversion": "1.0", "id": str(n), "source": "/shop", "replyto": MINE} for n in range(1_000)))
    told = element.told([element.read(array, Context("acme", "redis", "redis:acme", 1, 1))])
    assert len(splits) <= 1
    assert [json.loads(json.loads(entry)["raw"])["id"] for entry in told.rejected] == [str(n) for n in range(1_000)]
    assert [name for name, _ in told.receipts] == [MINE] * 1_000
