"""What the suites of relay log and relay watch stand on, in memory and on Redis: the log, its clock, and entries that grow old."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.relay_log import RedisRelayLog
from tests.conformance.relay_log import Act

PREFIX = "sb:log:{0}:"


class InMemory:
    """With a clock that is set."""

    @pytest.fixture
    def now(self) -> list[float]:
        return [1_800_000_000.0]

    @pytest.fixture
    def queue(self, now: list[float]) -> MemoryLogQueue:
        return MemoryLogQueue(clock=lambda: now[0])

    @pytest.fixture
    def lapse(self, now: list[float]) -> Act:
        async def lapse() -> None:
            now[0] += 3.1

        return lapse

    @pytest.fixture
    def age(self, now: list[float]) -> Act:
        async def age() -> None:
            now[0] += 6.0

        return age


class OnRedis:
    """With a client that sees what the scripts see."""

    @pytest.fixture
    async def queue(self, redis_url: str) -> AsyncIterator[RedisLogQueue]:
        queue = RedisLogQueue(redis_url)
        await queue.start()
        yield queue
        await queue.stop()

    @pytest.fixture
    async def relay(self, redis_url: str) -> AsyncIterator[RedisRelayLog]:
        relay = RedisRelayLog(redis_url, 0, "local", worker="one")
        yield relay
        await relay.close()

    @pytest.fixture
    def server(self, redis_url: str) -> Iterator[Any]:
        client = redis.Redis.from_url(redis_url)
        yield client
        client.close()

    @pytest.fixture
    def age(self, server: Any) -> Act:
        async def age() -> None:
            for number in server.zrange(PREFIX + "pending:local", 0, -1):
                server.zincrby(PREFIX + "pending:local", -6_000_000, number)

        return age
