"""The logger's loop: one batch in flight and one in hand, whatever the store does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from functions.logger import handler
from functions.logger.handler import Logger
from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.log_reader import MemoryLogReader, Taking
from shared.domain.errors import Unavailable
from shared.domain.logged import Taken
from shared.domain.record import Accepted, Flush
from tests.events import accepted
from tests.waiting import eventually


class Rows:
    """A store that can be down; `hold` makes a write wait."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.batches: list[int] = []
        self.down = False
        self.broken = False
        self.go = asyncio.Event()
        self.go.set()

    async def write(self, shard: int, taken: Sequence[Taken]) -> None:
        await self.go.wait()
        if self.down:
            raise Unavailable("the store is down")
        if self.broken:
            raise TypeError("a fault of ours")
        self.batches.append(len(taken))
        for flush in taken:
            assert isinstance(flush, Flush)
            self.ids += [record.message.event_id for _, record in flush.new() if isinstance(record, Accepted)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "FIRST_PAUSE_S", 0.005)


@asynccontextmanager
async def running(logger: Logger) -> AsyncIterator[asyncio.Event]:
    """Run the logger for the time of the block; set what is yielded to stop it before."""
    stop = asyncio.Event()
    task = asyncio.create_task(logger.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        await task


async def fill(queue: MemoryLogQueue, count: int, start: int = 0) -> list[str]:
    ids = [f"e{number}" for number in range(start, start + count)]
    for id in ids:
        await queue.append([accepted(id)])
    return ids


async def test_everything_is_written_in_order_and_once_when_the_store_is_up() -> None:
    queue, rows = MemoryLogQueue(), Rows()
    ids = await fill(queue, 20)
    async with running(Logger(0, MemoryLogReader(queue), rows.write)):
        await eventually(lambda: rows.ids == ids)


async def test_no_more_than_two_batches_are_taken_when_the_store_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "BATCH_RECORDS", 2)
    queue, taking, rows = MemoryLogQueue(), Taking(), Rows()
    ids = await fill(queue, 20)
    rows.down = True
    logger = Logger(0, MemoryLogReader(queue, taking), rows.write)
    async with running(logger):
        await eventually(lambda: logger.failures > 5)
        assert taking.next == 4
        assert logger.behind
        rows.down = False
        await eventually(lambda: rows.ids == ids)
        assert not logger.behind


async def test_the_next_batch_is_taken_when_one_is_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "BATCH_RECORDS", 2)
    queue, taking, rows = MemoryLogQueue(), Taking(), Rows()
    await fill(queue, 6)
    rows.go.clear()
    async with running(Logger(0, MemoryLogReader(queue, taking), rows.write)):
        await eventually(lambda: taking.next == 4)
        rows.go.set()


async def test_it_tries_again_when_something_of_ours_fails() -> None:
    queue, rows = MemoryLogQueue(), Rows()
    ids = await fill(queue, 3)
    rows.broken = True
    logger = Logger(0, MemoryLogReader(queue), rows.write)
    async with running(logger):
        await eventually(lambda: logger.failures > 2)
        rows.broken = False
        await eventually(lambda: rows.ids == ids)


async def test_the_batch_in_flight_is_finished_and_the_rest_given_back_when_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "BATCH_RECORDS", 2)
    queue, taking, rows = MemoryLogQueue(), Taking(), Rows()
    ids = await fill(queue, 6)
    rows.go.clear()
    async with running(Logger(0, MemoryLogReader(queue, taking), rows.write)) as stop:
        await eventually(lambda: taking.next == 4)
        stop.set()
        rows.go.set()
    assert rows.ids == ids[:2]
    assert taking.taken == {}
    async with running(Logger(0, MemoryLogReader(queue, taking, "next"), rows.write)):
        await eventually(lambda: rows.ids == ids)


async def test_it_ends_and_gives_everything_back_when_the_store_is_down() -> None:
    queue, taking, rows = MemoryLogQueue(), Taking(), Rows()
    await fill(queue, 3)
    rows.down = True
    logger = Logger(0, MemoryLogReader(queue, taking), rows.write)
    async with running(logger):
        await eventually(lambda: logger.failures > 1)
    assert taking.taken == {}
    assert len(taking.returned) == 3


async def test_it_ends_when_a_cancellation_would_be_lost_while_it_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "BEAT_S", 0.001)
    answered, asked = asyncio.Event(), asyncio.Event()

    class Slow(MemoryLogReader):
        """What redis-py 8.1 does while it connects: it goes on."""

        async def take(self, limit_bytes: int, limit_records: int) -> list[Taken]:
            return []

        async def recover(self) -> int:
            return 0

        async def beat(self) -> None:
            asked.set()
            try:
                await answered.wait()
            except asyncio.CancelledError:
                await answered.wait()

    stop = asyncio.Event()
    running = asyncio.create_task(Logger(0, Slow(MemoryLogQueue()), Rows().write).run(stop))
    await asked.wait()
    stop.set()
    for _ in range(20):  # it has come to its end, and waits for the heartbeat
        await asyncio.sleep(0)
    answered.set()
    async with asyncio.timeout(30):
        await running


async def test_worker_goes_on_saying_that_it_lives_when_the_store_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else another takes over what it holds, and gives it to the store as well."""
    monkeypatch.setattr(handler, "BEAT_S", 0.005)
    queue, rows = MemoryLogQueue(), Rows()
    rows.down = True
    await fill(queue, 1)
    reader = MemoryLogReader(queue)
    beats: list[bool] = []

    async def beat() -> None:
        beats.append(logger.behind)

    monkeypatch.setattr(reader, "beat", beat)
    logger = Logger(0, reader, rows.write)
    async with running(logger):
        await eventually(lambda: beats.count(True) >= 10)
