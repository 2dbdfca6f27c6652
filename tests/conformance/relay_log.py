"""What every relay log must do (log.md, "Publish, pending, relay").

Subclasses give `queue`, an empty log as a door sees it, and the fixtures `relay` and `rival`: two workers for backbone `local` of its
one shard. `lapse` ends a worker's lease as time does, `age` makes what was logged so far 6 s older.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest

from shared.domain.errors import Conflict
from shared.domain.logged import Entry
from shared.domain.record import DeadLetter, Deliveries
from shared.domain.relaying import Oldest, Relayed, Retry
from shared.domain.repairing import Mark, Marked
from shared.ports import LogQueue, RelayLog
from tests.conformance.log_queue import taken
from tests.events import accepted
from tests.waiting import eventually

Act = Callable[[], Awaitable[None]]
Logged = Callable[[], Awaitable[list[object]]]


def ids(oldest: Oldest) -> list[str]:
    return [waiting.message.event_id if waiting.message else "" for entry in oldest.entries for waiting in entry.waiting]


def relayed(entry: Entry) -> Relayed:
    """That entry's flush as delivered whole."""
    return Relayed(whole=[entry.flush], records=[taken([entry])])


class RelayLogConformance:
    async def test_one_worker_has_the_lease_when_two_want_it(self, relay: RelayLog, rival: RelayLog) -> None:
        assert await relay.lease()
        assert not await rival.lease()
        assert await relay.lease(), "renewed"

    async def test_the_other_gets_the_lease_when_it_lapsed(self, relay: RelayLog, rival: RelayLog, lapse: Act) -> None:
        await relay.lease()
        await lapse()
        assert await rival.lease()
        assert not await relay.lease()

    async def test_the_other_gets_the_lease_when_it_was_given_up(self, relay: RelayLog, rival: RelayLog) -> None:
        await relay.lease()
        await relay.leave()
        assert await rival.lease()

    async def test_nothing_is_done_when_the_lease_is_anothers(self, queue: LogQueue, relay: RelayLog, rival: RelayLog, lapse: Act) -> None:
        (entry,) = await queue.append([accepted("e1")])
        await relay.lease()
        gate = await relay.gate()
        await lapse()
        await rival.lease()
        for fenced in (relay.done(relayed(entry)), relay.turn(gate, "held"), relay.gate()):
            with pytest.raises(Conflict):
                await fenced
        assert ids(await rival.oldest(10)) == ["e1"]
        assert (await rival.gate()).state == "open"

    async def test_the_gate_is_open_when_nothing_is_old(self, queue: LogQueue, relay: RelayLog) -> None:
        await queue.append([accepted("e1")])
        await relay.lease()
        gate = await relay.gate()
        assert (gate.state, gate.pending) == ("open", 1)

    async def test_the_gate_is_held_when_an_entry_is_older_than_5_s(self, queue: LogQueue, relay: RelayLog, age: Act) -> None:
        (entry,) = await queue.append([accepted("e1")])
        await age()
        await relay.lease()
        assert (await relay.gate()).state == "held"
        await queue.append([accepted("e2")])
        assert not queue.may_publish(entry, "local")

    async def test_the_gate_is_held_when_a_door_asks_for_it(self, queue: LogQueue, relay: RelayLog) -> None:
        await relay.lease()
        queue.hold(0, "local", "no PubAck")

        async def held() -> bool:
            return (await relay.gate()).state == "held"

        await eventually(held)

    async def test_doors_publish_again_when_the_gate_was_opened(self, queue: LogQueue, relay: RelayLog, age: Act) -> None:
        (entry,) = await queue.append([accepted("e1")])
        await age()
        await relay.lease()
        closing, last = await relay.turn(await relay.gate(), "closing")
        assert closing is not None
        assert last == entry.flush
        await relay.done(relayed(entry))
        opened, _ = await relay.turn(closing, "open")
        assert opened is not None
        (later,) = await queue.append([accepted("e2")])
        assert queue.may_publish(later, "local")

    async def test_the_gate_stays_as_it_is_when_it_was_turned_meanwhile(self, queue: LogQueue, relay: RelayLog, age: Act) -> None:
        await queue.append([accepted("e1")])
        await age()
        await relay.lease()
        held = await relay.gate()
        closing, _ = await relay.turn(held, "closing")
        assert closing is not None
        assert await relay.turn(held, "open") == (None, 1)
        assert (await relay.gate()).turn == closing.turn

    async def test_entries_come_in_log_order_when_several_wait(self, queue: LogQueue, relay: RelayLog) -> None:
        for number in range(12):
            await queue.append([accepted(f"e{number}")])
        oldest = await relay.oldest(100)
        assert oldest.all
        assert ids(oldest) == [f"e{number}" for number in range(12)]

    async def test_only_the_oldest_come_when_there_are_more(self, queue: LogQueue, relay: RelayLog) -> None:
        for number in range(4):
            await queue.append([accepted(f"e{number}-{place}") for place in range(10)])
        oldest = await relay.oldest(25)
        assert not oldest.all
        assert len(ids(oldest)) == 20

    async def test_nothing_logged_later_comes_when_a_last_flush_is_given(self, queue: LogQueue, relay: RelayLog) -> None:
        (first,) = await queue.append([accepted("e1")])
        await queue.append([accepted("e2")])
        assert ids(await relay.oldest(100, first.flush)) == ["e1"]

    async def test_only_new_messages_for_the_backbone_wait_when_a_flush_has_others(self, queue: LogQueue, relay: RelayLog) -> None:
        await queue.append([accepted("e1"), accepted("e1"), accepted("e2", targets=("eu",)), accepted("e3", targets=("eu", "local"))])
        assert ids(await relay.oldest(100)) == ["e1", "e3"]

    async def test_the_rest_still_waits_when_a_part_is_done(self, queue: LogQueue, relay: RelayLog) -> None:
        entries = await queue.append([accepted(f"e{number}") for number in range(3)])
        await relay.lease()
        await relay.done(Relayed(part=[(entries[0].flush, (0, 2))], records=[taken([entries[0], entries[2]])]))
        assert ids(await relay.oldest(100)) == ["e1"]
        await relay.done(Relayed(whole=[entries[0].flush], records=[taken([entries[1]])]))
        assert (await relay.oldest(100)).entries == ()

    async def test_what_a_door_delivered_waits_no_more_when_it_said_so(self, queue: LogQueue, relay: RelayLog) -> None:
        entries = await queue.append([accepted("e1"), accepted("e2")])
        queue.delivered(entries, taken(entries))

        async def empty() -> bool:
            return (await relay.oldest(100)).entries == ()

        await eventually(empty)

    async def test_a_refusal_is_due_again_when_its_time_has_come(self, queue: LogQueue, relay: RelayLog) -> None:
        (entry,) = await queue.append([accepted("e1")])
        await relay.lease()
        soon = Retry(entry.flush, entry.index, 1, entry.message.id, "acme")
        late = Retry(entry.flush, entry.index, 2, entry.message.id, "acme")
        await relay.done(Relayed(whole=[entry.flush], again=[(soon, 0), (late, 60_000)]))
        (due,) = await relay.retries(10)
        assert (due.flush, due.index, due.attempts, due.id, due.org) == (entry.flush, entry.index, 1, entry.message.id, "acme")
        assert (await relay.gate()).due == 1
        await relay.done(Relayed(tried=[due], again=[(Retry(due.flush, due.index, 2, due.id, due.org), 60_000)]))
        assert await relay.retries(10) == []

    async def test_what_is_stuck_is_out_of_the_way_until_the_lease_is_taken_anew(
        self, queue: LogQueue, relay: RelayLog, rival: RelayLog
    ) -> None:
        (entry,) = await queue.append([accepted("e1")])
        await queue.append([accepted("e2")])
        await relay.lease()
        await relay.done(Relayed(stuck=[entry.flush]))
        assert ids(await relay.oldest(10)) == ["e2"]
        await relay.lease()
        gate = await relay.gate()
        assert (gate.pending, gate.stuck) == (1, 1)
        await relay.leave()
        await rival.lease()
        assert ids(await rival.oldest(10)) == ["e1", "e2"]
        assert (await rival.gate()).stuck == 0

    async def test_dead_letters_and_deliveries_are_logged_when_done(self, queue: LogQueue, relay: RelayLog, logged: "Logged") -> None:
        (entry,) = await queue.append([accepted("e1")])
        await relay.lease()
        dead = DeadLetter("acme", entry.message.id, "local", "too old", 8, 1)
        await relay.done(Relayed(whole=[entry.flush], records=[taken([entry]), dead]))
        records = await logged()
        assert dead in records
        assert any(isinstance(record, Deliveries) for record in records)

    async def test_the_highest_delivery_of_each_org_is_remembered_whoever_noted_it(
        self, queue: LogQueue, relay: RelayLog, logged: Logged
    ) -> None:
        first, second, third = await queue.append([accepted("e1"), accepted("e2"), accepted("e3")])
        assert await relay.marks() == []
        queue.delivered([first, second], delivered([first, second], 4, 5))
        await eventually(partial(_count, logged, 1))
        assert await relay.marks() == [Marked("acme", mark(5, second))]
        await relay.lease()
        await relay.done(Relayed(part=[(third.flush, (2,))], records=[delivered([third], 6), refusal(first)]))
        assert await relay.marks() == [Marked("acme", mark(6, third))]

    async def test_a_lower_sequence_makes_a_doubt_and_lowers_nothing(self, queue: LogQueue, relay: RelayLog, logged: Logged) -> None:
        first, second, third = await queue.append([accepted("e1"), accepted("e2"), accepted("e3")])
        for number, (entry, sequence) in enumerate(((first, 9), (second, 8), (third, 10)), 1):
            queue.delivered([entry], delivered([entry], sequence))
            await eventually(partial(_count, logged, number))
        assert await relay.marks() == [Marked("acme", mark(10, third), mark(9, first))]

    async def test_a_group_around_the_highest_sequence_makes_a_doubt(self, queue: LogQueue, relay: RelayLog, logged: Logged) -> None:
        first, second, third = await queue.append([accepted("e1"), accepted("e2"), accepted("e3")])
        queue.delivered([first], delivered([first], 9))
        await eventually(partial(_count, logged, 1))
        queue.delivered([second, third], delivered([second, third], 8, 10))
        await eventually(partial(_count, logged, 2))
        assert await relay.marks() == [Marked("acme", mark(10, third), mark(9, first))]

    async def test_the_first_of_several_doubts_is_the_one_to_look_at(self, queue: LogQueue, relay: RelayLog, logged: Logged) -> None:
        entries = first, _, third, _ = await queue.append([accepted(f"e{number}") for number in range(4)])
        for number, (entry, sequence) in enumerate(zip(entries, (9, 8, 10, 7), strict=True), 1):
            queue.delivered([entry], delivered([entry], sequence))
            await eventually(partial(_count, logged, number))
        assert await relay.marks() == [Marked("acme", mark(10, third), mark(9, first))]

    async def test_another_stream_makes_a_doubt_and_is_remembered(self, queue: LogQueue, relay: RelayLog, logged: Logged) -> None:
        first, second = await queue.append([accepted("e1"), accepted("e2")])
        for number, (entry, sequence, created) in enumerate(((first, 9, BEFORE), (second, 1, LATER)), 1):
            queue.delivered([entry], delivered([entry], sequence, created=created))
            await eventually(partial(_count, logged, number))
        assert await relay.marks() == [Marked("acme", mark(1, second, LATER), mark(9, first))]

    async def test_a_doubt_goes_when_it_was_looked_at_and_not_a_later_one(
        self, queue: LogQueue, relay: RelayLog, rival: RelayLog, lapse: Act
    ) -> None:
        first, second = await queue.append([accepted("e1"), accepted("e2")])
        await relay.lease()
        await relay.done(Relayed(records=[delivered([first], 9), delivered([second], 8)]))
        (doubtful,) = await relay.marks()
        await relay.trust([Marked("acme", doubtful.mark, mark(7, first))])
        assert await relay.marks() == [doubtful]
        await relay.trust([doubtful])
        assert await relay.marks() == [Marked("acme", mark(9, first))]
        await lapse()
        await rival.lease()
        for fenced in (relay.trust([doubtful]), relay.mark("acme", None)):
            with pytest.raises(Conflict):
                await fenced

    async def test_only_what_a_repaired_stream_ends_with_is_remembered(self, queue: LogQueue, relay: RelayLog) -> None:
        first, second = await queue.append([accepted("e1"), accepted("e2")])
        await relay.lease()
        await relay.done(Relayed(records=[delivered([first], 9), delivered([second], 8)]))
        await relay.mark("acme", mark(3, second, LATER))
        assert await relay.marks() == [Marked("acme", mark(3, second, LATER))]
        await relay.mark("acme", None)
        assert await relay.marks() == []

    async def test_the_oldest_flush_no_store_has_is_told(self, queue: LogQueue, relay: RelayLog, written: Act) -> None:
        assert await relay.unwritten() == (None, 0)
        (first,) = await queue.append([accepted("e1")])
        (second,) = await queue.append([accepted("e2")])
        assert await relay.unwritten() == (first.flush, second.flush)
        await written()
        assert await relay.unwritten() == (None, second.flush)


BEFORE, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def delivered(entries: list[Entry], *sequences: int, created: str = BEFORE) -> Deliveries:
    """The entries under these sequences."""
    return msgspec.structs.replace(taken(entries), sequences=sequences, created=created)


def refusal(entry: Entry) -> Deliveries:
    """A reachable backbone refused it."""
    return msgspec.structs.replace(taken([entry]), sequences=(0,), error="no")


def mark(sequence: int, entry: Entry, created: str = BEFORE) -> Mark:
    return Mark(created, sequence, entry.message.id)


async def _count(logged: Logged, count: int) -> bool:
    return sum(isinstance(record, Deliveries) for record in await logged()) == count
