"""What every way to the store's memory must do: asked in the process that has the store, or at the hub."""

from shared.ports import Known, MessageStore
from tests.stored import NOON, accepted, flush, taken


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
