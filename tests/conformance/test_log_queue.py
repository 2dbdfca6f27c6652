"""The log queue's suite on memory and on Redis."""

from collections.abc import AsyncIterator

import pytest

from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.redis.log_queue import RedisLogQueue
from tests.conformance.log_queue import LogQueueConformance, SmallLogQueueConformance


class TestMemory(LogQueueConformance, SmallLogQueueConformance):
    @pytest.fixture
    def queue(self) -> MemoryLogQueue:
        return MemoryLogQueue()

    @pytest.fixture
    def small(self) -> MemoryLogQueue:
        return MemoryLogQueue(limit_bytes=100_000)


class TestRedis(LogQueueConformance, SmallLogQueueConformance):
    @pytest.fixture
    async def queue(self, redis_url: str) -> AsyncIterator[RedisLogQueue]:
        queue = RedisLogQueue(redis_url)
        await queue.start()
        yield queue
        await queue.stop()

    @pytest.fixture
    async def small(self, redis_url: str) -> AsyncIterator[RedisLogQueue]:
        queue = RedisLogQueue(redis_url, limit_bytes=100_000)
        await queue.start()
        yield queue
        await queue.stop()


class TestRedisWithThreeShards(LogQueueConformance):
    @pytest.fixture
    async def queue(self, redis_url: str) -> AsyncIterator[RedisLogQueue]:
        queue = RedisLogQueue(redis_url, shards=3)
        await queue.start()
        yield queue
        await queue.stop()
