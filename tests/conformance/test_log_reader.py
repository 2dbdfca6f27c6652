"""The log reader's suite on memory and on Redis."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.log_reader import MemoryLogReader, Taking
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.log_reader import RedisLogReader
from shared.ports import LogReader
from tests.conformance.log_reader import LogReaderConformance, Lose

WORKERS = "sb:log:{0}:workers"


class TestMemory(LogReaderConformance):
    @pytest.fixture
    def queue(self) -> MemoryLogQueue:
        return MemoryLogQueue()

    @pytest.fixture
    def taking(self) -> Taking:
        return Taking()

    @pytest.fixture
    def reader(self, queue: MemoryLogQueue, taking: Taking) -> MemoryLogReader:
        return MemoryLogReader(queue, taking, "one")

    @pytest.fixture
    def other(self, queue: MemoryLogQueue, taking: Taking) -> MemoryLogReader:
        return MemoryLogReader(queue, taking, "two")

    @pytest.fixture
    def lose(self, taking: Taking) -> Lose:
        async def lose(reader: LogReader) -> None:
            assert isinstance(reader, MemoryLogReader)
            taking.beats[reader.worker] -= 6.0

        return lose


class TestRedis(LogReaderConformance):
    @pytest.fixture
    async def queue(self, redis_url: str) -> AsyncIterator[RedisLogQueue]:
        queue = RedisLogQueue(redis_url)
        await queue.start()
        yield queue
        await queue.stop()

    @pytest.fixture
    async def reader(self, redis_url: str) -> AsyncIterator[RedisLogReader]:
        reader = RedisLogReader(redis_url, worker="one")
        yield reader
        await reader.close()

    @pytest.fixture
    async def other(self, redis_url: str) -> AsyncIterator[RedisLogReader]:
        reader = RedisLogReader(redis_url, worker="two")
        yield reader
        await reader.close()

    @pytest.fixture
    def server(self, redis_url: str) -> Iterator[Any]:
        client = redis.Redis.from_url(redis_url)
        yield client
        client.close()

    @pytest.fixture
    def lose(self, server: Any) -> Lose:
        async def lose(reader: LogReader) -> None:
            assert isinstance(reader, RedisLogReader)
            server.zincrby(WORKERS, -6_000, reader.worker)

        return lose
