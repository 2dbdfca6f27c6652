"""What every way to the store's memory must do: asked in the process that has the store, or at the hub."""

from shared.domain.stored import FirstCopy
from shared.ports import FirstCopies, Known, MessageStore
from tests.stored import NOON, accepted, attempt, flush, taken


class KnownConformance:
    """Subclasses give `store`, which is written to, and `known`, which is asked; conftest `org`."""

    async def test_bodies_come_by_id_and_time_when_they_were_written(self, store: MessageStore, known: Known, org: str) -> None:
        first, other = accepted("1", org, body=b"\x00\xff" * 9), accepted("1", org, body=None)
        await store.write(0, [flush(1, first, logged_at=NOON), flush(2, other, logged_at=NOON + 5)])
        id, absent = first.message.id, bytes(16)
        assert await known.bodies([(id, NOON), (absent, None), (id, NOON + 5), (id, None)]) == {
            (id, NOON): first.message,
            (id, NOON + 5): other.message,
            (id, None): first.message,
        }
        assert await known.bodies([]) == {}

    async def test_all_bodies_come_when_they_are_more_than_an_answer_has(self, store: MessageStore, known: Known, org: str) -> None:
        records = [accepted(str(number), org, body=bytes([number]) * 900_000) for number in range(45)]
        await store.write(0, [flush(1, *records)])
        wanted = [(record.message.id, None) for record in records]
        assert await known.bodies(wanted) == {each: record.message for each, record in zip(wanted, records, strict=True)}

    async def test_all_are_answered_when_more_are_asked_for_than_a_question_has(self, store: MessageStore, known: Known, org: str) -> None:
        records = [accepted(str(number), org) for number in range(1_203)]
        await store.write(0, [flush(1, *records[:700]), flush(2, *records[700:]), flush(3, *(taken(one.message) for one in records))])
        wanted = [(record.message.id, record.message.digest) for record in records]
        assert await known.delivered("local", wanted) == set(wanted)
        assert await known.delivered("elsewhere", wanted) == set()
        assert len(await known.bodies([(id, None) for id, _ in wanted])) == len(wanted)

    async def test_first_copy_is_told_when_a_message_was_accepted(self, store: MessageStore, known: FirstCopies, org: str) -> None:
        first, other = accepted("1", org, targets=("local", "eu-1")), accepted("1", org, body=None, revision=9)
        refused, many = attempt("2", org), [accepted(str(number), org) for number in range(10, 250)]
        await store.write(0, [flush(1, first, refused, *many, taken(first.message, 5, error=None), taken(refused.message, 0, error="no"))])
        await store.write(0, [flush(2, other)])
        wanted = [(one.id, one.digest) for one in (first.message, other.message, refused.message, *(each.message for each in many))]
        found = await known.accepted(org, wanted)
        assert found[wanted[0]] == FirstCopy(1, ("local", "eu-1"), (("local", f"sb-{org}", 5),))
        assert found[wanted[1]].revision == 9
        assert found.keys() == set(wanted) - {wanted[2]}
        assert await known.accepted(f"{org}-other", wanted[:3]) == {}
        assert await known.accepted(org, [(bytes(16), bytes(32)), (first.message.id, bytes(32))]) == {}

    async def test_deliveries_come_oldest_first_and_some_at_a_time_when_they_are_asked_for(
        self, store: MessageStore, known: Known, org: str
    ) -> None:
        records = [accepted(str(number), org) for number in range(5)]
        notes = [taken(record.message, number + 1, time=NOON + number) for number, record in enumerate(records)]
        refused = taken(records[0].message, 0, time=NOON + 9, error="no")
        await store.write(0, [flush(1, *records), flush(2, *notes, refused)])
        first = await known.recorded("local", org, NOON + 1, None, 3)
        assert [(each.id, each.sequence, each.time, each.created) for each in first] == [
            (records[number].message.id, number + 1, NOON + number, notes[0].created) for number in (1, 2, 3)
        ]
        assert [each.sequence for each in await known.recorded("local", org, NOON + 1, first[-1], 3)] == [5]
        assert await known.recorded("elsewhere", org, NOON, None, 3) == []
        assert await known.recorded("local", f"{org}-other", NOON, None, 3) == []

    async def test_the_last_delivery_counts_when_a_message_was_delivered_again(self, store: MessageStore, known: Known, org: str) -> None:
        record = accepted("1", org)
        await store.write(0, [flush(1, record, taken(record.message, 3, time=NOON), taken(record.message, 9, time=NOON + 5))])
        assert [each.sequence for each in await known.recorded("local", org, NOON, None, 10)] == [9]
        assert [each.sequence for each in await known.recorded("local", org, NOON, None, 10, every=True)] == [3, 9]

    async def test_every_delivery_counts_when_an_id_is_of_two_messages(self, store: MessageStore, known: Known, org: str) -> None:
        first, other = accepted("1", org), accepted("1", org, body=None)
        await store.write(0, [flush(1, first, taken(first.message, 3, time=NOON + 1), logged_at=NOON)])
        await store.write(0, [flush(2, other, taken(other.message, 4, time=NOON + 6), logged_at=NOON + 5)])
        found = await known.recorded("local", org, NOON, None, 10)
        assert [each.sequence for each in found] == [3, 4]
        bodies = await known.bodies([(each.id, each.time) for each in found])
        assert list(bodies.values()) == [first.message, other.message]
