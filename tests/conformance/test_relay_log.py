"""The suites of relay log and relay watch, on memory and on Redis."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.relay_log import MemoryRelayLog, Relays
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.log_reader import RedisLogReader
from shared.adapters.redis.relay_log import RedisRelayLog
from shared.domain.record import unpack_flush
from tests.conformance.relay_log import Act, Logged, RelayLogConformance

PREFIX = "sb:log:{0}:"


class TestMemory(RelayLogConformance):
    @pytest.fixture
    def now(self) -> list[float]:
        return [1_800_000_000.0]

    @pytest.fixture
    def queue(self, now: list[float]) -> MemoryLogQueue:
        return MemoryLogQueue(clock=lambda: now[0])

    @pytest.fixture
    def relays(self, queue: MemoryLogQueue, now: list[float]) -> Relays:
        return Relays(queue, "local", clock=lambda: now[0])

    @pytest.fixture
    def relay(self, relays: Relays) -> MemoryRelayLog:
        return MemoryRelayLog(relays, "one")

    @pytest.fixture
    def rival(self, relays: Relays) -> MemoryRelayLog:
        return MemoryRelayLog(relays, "two")

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

    @pytest.fixture
    def logged(self, queue: MemoryLogQueue) -> Logged:
        async def logged() -> list[object]:
            return [record for flush in queue.flushes for _, record in flush.new()]

        return logged

    @pytest.fixture
    def written(self, relays: Relays, queue: MemoryLogQueue) -> Act:
        async def written() -> None:
            relays.written = len(queue.flushes)

        relays.written = 0
        return written


class TestRedis(RelayLogConformance):
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
    async def rival(self, redis_url: str) -> AsyncIterator[RedisRelayLog]:
        relay = RedisRelayLog(redis_url, 0, "local", worker="two")
        yield relay
        await relay.close()

    @pytest.fixture
    def server(self, redis_url: str) -> Iterator[Any]:
        client = redis.Redis.from_url(redis_url)
        yield client
        client.close()

    @pytest.fixture
    def lapse(self, server: Any) -> Act:
        async def lapse() -> None:
            server.delete(PREFIX + "lease:local")

        return lapse

    @pytest.fixture
    def age(self, server: Any) -> Act:
        async def age() -> None:
            for number in server.zrange(PREFIX + "pending:local", 0, -1):
                server.zincrby(PREFIX + "pending:local", -6_000_000, number)

        return age

    @pytest.fixture
    def logged(self, server: Any) -> Logged:
        async def logged() -> list[object]:
            numbers = reversed(server.lrange(PREFIX + "queue", 0, -1))
            flushes = [unpack_flush(int(number), server.get(f"{PREFIX}flush:{int(number)}")) for number in numbers]
            return [record for flush in flushes for _, record in flush.new()]

        return logged

    @pytest.fixture
    def written(self, redis_url: str) -> Act:
        async def written() -> None:
            reader = RedisLogReader(redis_url, 0, worker="logger")
            await reader.commit(await reader.take(1 << 20, 1_000))
            await reader.close()

        return written
