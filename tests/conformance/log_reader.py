"""What every log reader must do (log.md, "Logger").

Subclasses give `queue`, an empty log as a door sees it, and the fixtures `reader` and `other`: two workers on it. `lose` makes a
worker's last heartbeat 6 s old.
"""

from collections.abc import Awaitable, Callable

from shared.domain.logged import Taken
from shared.domain.record import Accepted, Flush
from shared.ports import LogQueue, LogReader
from tests.events import accepted

MANY = 1 << 24  # bytes
Lose = Callable[[LogReader], Awaitable[None]]


def ids(taken: list[Taken]) -> list[str]:
    """The event ids of what is new in the flushes, in order."""
    return [
        record.message.event_id for flush in taken if isinstance(flush, Flush) for _, record in flush.new() if isinstance(record, Accepted)
    ]


class LogReaderConformance:
    async def test_flushes_are_taken_oldest_first_when_several_wait(self, queue: LogQueue, reader: LogReader) -> None:
        for number in range(5):
            await queue.append([accepted(f"e{number}")])
        taken = await reader.take(MANY, 5_000)
        assert ids(taken) == [f"e{number}" for number in range(5)]
        assert [flush.number for flush in taken] == sorted(flush.number for flush in taken)

    async def test_nothing_is_taken_when_the_log_is_empty(self, reader: LogReader) -> None:
        assert await reader.take(MANY, 5_000) == []

    async def test_no_more_than_the_records_asked_for_is_taken_when_more_wait(self, queue: LogQueue, reader: LogReader) -> None:
        for number in range(6):
            await queue.append([accepted(f"e{number}-{place}") for place in range(10)])
        assert len(ids(await reader.take(MANY, 25))) == 20
        assert len(ids(await reader.take(MANY, 5_000))) == 40

    async def test_no_more_than_the_bytes_asked_for_is_taken_when_more_wait(self, queue: LogQueue, reader: LogReader) -> None:
        for number in range(4):
            await queue.append([accepted(f"e{number}", body=b'"' + b"x" * 10_000 + b'"')])
        assert len(await reader.take(25_000, 5_000)) == 2

    async def test_a_flush_is_taken_when_it_alone_is_over_the_limits(self, queue: LogQueue, reader: LogReader) -> None:
        await queue.append([accepted(f"e{number}", body=b"1" * 10_000) for number in range(10)])
        assert len(await reader.take(100, 1)) == 1

    async def test_each_flush_goes_to_one_worker_when_two_take(self, queue: LogQueue, reader: LogReader, other: LogReader) -> None:
        for number in range(4):
            await queue.append([accepted(f"e{number}")])
        assert ids(await reader.take(MANY, 2)) == ["e0", "e1"]
        assert ids(await other.take(MANY, 2)) == ["e2", "e3"]

    async def test_what_is_committed_is_not_taken_again_when_the_worker_is_gone(
        self, queue: LogQueue, reader: LogReader, other: LogReader, lose: Lose
    ) -> None:
        await queue.append([accepted("e1")])
        await reader.commit(await reader.take(MANY, 5_000))
        await lose(reader)
        assert await other.recover() == 0
        assert await other.take(MANY, 5_000) == []

    async def test_what_a_worker_had_taken_is_taken_again_when_it_is_gone(
        self, queue: LogQueue, reader: LogReader, other: LogReader, lose: Lose
    ) -> None:
        for number in range(3):
            await queue.append([accepted(f"e{number}")])
        first = await reader.take(MANY, 2)
        await reader.commit(first[:1])
        await lose(reader)
        assert await other.recover() == 1
        assert ids(await other.take(MANY, 5_000)) == ["e1", "e2"]

    async def test_a_worker_keeps_what_it_took_when_its_heart_beats(
        self, queue: LogQueue, reader: LogReader, other: LogReader, lose: Lose
    ) -> None:
        await queue.append([accepted("e1")])
        await reader.take(MANY, 5_000)
        await lose(reader)
        await reader.beat()
        assert await other.recover() == 0

    async def test_a_late_commit_does_no_harm_when_another_took_over(
        self, queue: LogQueue, reader: LogReader, other: LogReader, lose: Lose
    ) -> None:
        await queue.append([accepted("e1")])
        late = await reader.take(MANY, 5_000)
        await lose(reader)
        await other.recover()
        again = await other.take(MANY, 5_000)
        await reader.commit(late)
        assert ids(again) == ["e1"]
        await lose(other)
        assert await reader.recover() == 1, "it is the other's until that commits"

    async def test_commit_does_no_harm_when_it_comes_twice(self, queue: LogQueue, reader: LogReader) -> None:
        await queue.append([accepted("e1")])
        taken = await reader.take(MANY, 5_000)
        await reader.commit(taken)
        await reader.commit(taken)
        await queue.append([accepted("e2")])
        assert ids(await reader.take(MANY, 5_000)) == ["e2"]

    async def test_another_worker_takes_it_at_once_when_one_leaves(self, queue: LogQueue, reader: LogReader, other: LogReader) -> None:
        await queue.append([accepted("e1")])
        await reader.take(MANY, 5_000)
        await reader.leave()
        assert ids(await other.take(MANY, 5_000)) == ["e1"]
