"""The suite of the log of received messages, on memory and on Redis; and what Redis has behind it."""

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.received_log import MemoryReceivedLog
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.log_reader import RedisLogReader
from shared.adapters.redis.received_log import RedisReceivedLog
from shared.domain.record import Accepted, Attempt, Deliveries, Flush
from tests.conformance.log_queue import taken
from tests.conformance.received_log import ReceivedLogConformance, SmallReceivedLogConformance, accepts, refuses, waits
from tests.events import message
from tests.waiting import eventually

PREFIX = "sb:log:{0}:"


class TestMemory(ReceivedLogConformance, SmallReceivedLogConformance):
    @pytest.fixture
    def queue(self) -> MemoryLogQueue:
        return MemoryLogQueue()

    @pytest.fixture
    def received(self, queue: MemoryLogQueue) -> MemoryReceivedLog:
        return MemoryReceivedLog(queue)

    @pytest.fixture
    def small(self) -> MemoryReceivedLog:
        return MemoryReceivedLog(MemoryLogQueue(limit_bytes=100_000))


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[RedisLogQueue]:
    queue = RedisLogQueue(redis_url)
    await queue.start()
    yield queue
    await queue.stop()


@pytest.fixture
async def received(redis_url: str) -> AsyncIterator[RedisReceivedLog]:
    log = RedisReceivedLog(redis_url)
    await log.start()
    yield log
    await log.stop()


class TestRedis(ReceivedLogConformance, SmallReceivedLogConformance):
    @pytest.fixture
    async def small(self, redis_url: str) -> AsyncIterator[RedisReceivedLog]:
        log = RedisReceivedLog(redis_url, limit_bytes=100_000)
        yield log
        await log.stop()


class TestRedisWithThreeShards(ReceivedLogConformance):
    @pytest.fixture
    async def queue(self, redis_url: str) -> AsyncIterator[RedisLogQueue]:
        queue = RedisLogQueue(redis_url, shards=3)
        await queue.start()
        yield queue
        await queue.stop()

    @pytest.fixture
    async def received(self, redis_url: str) -> AsyncIterator[RedisReceivedLog]:
        log = RedisReceivedLog(redis_url, shards=3)
        yield log
        await log.stop()


async def test_logger_gets_one_record_for_each_verdict_and_nothing_of_it_stays_when_all_is_done(
    redis_url: str, queue: RedisLogQueue, received: RedisReceivedLog
) -> None:
    one, two, three = (waits(message(f"e{number}", body=b"x" * 20_000)) for number in range(3))
    await received.receive([one, two, three])
    for ruling in (accepts(one), accepts(one), refuses(two), accepts(three, targets=())):
        await received.settle(ruling)
    reader = RedisLogReader(redis_url)
    flushes = [flush for flush in await reader.take(1 << 24, 1000) if isinstance(flush, Flush)]
    records = [record for flush in flushes for _, record in flush.new()]
    assert [type(record) for record in records] == [Accepted, Attempt, Accepted]
    assert [len(record.message.body or b"") for record in records if not isinstance(record, Deliveries)] == [20_000, 4_096, 20_000]  # type: ignore[union-attr]
    (entry,) = await queue.seen([one.message])
    assert entry is not None
    queue.delivered([entry], taken([entry]))
    store = redis.asyncio.Redis.from_url(redis_url)

    async def empty() -> bool:
        await reader.commit(await reader.take(1 << 24, 1000))
        return not await store.exists(*(PREFIX + name for name in ("pending:local", "receiving", "received", "identities", "held")))

    await reader.commit(flushes)
    await eventually(empty)
    usage = {name: int(value) for name, value in (await store.hgetall(PREFIX + "usage")).items()}
    assert {name for name, value in usage.items() if value} <= {b"feed"}
    await reader.close()
    await store.aclose()
