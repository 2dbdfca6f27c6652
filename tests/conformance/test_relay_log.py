"""The suites of relay log and relay watch, on memory and on Redis."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.relay_log import MemoryRelayLog, Relays
from shared.adapters.redis.log_reader import RedisLogReader
from shared.adapters.redis.relay_log import RedisRelayLog
from shared.domain.record import unpack_flush
from tests.conformance.relay_log import Act, Logged, RelayLogConformance
from tests.conformance.relay_servers import PREFIX, InMemory, OnRedis


class TestMemory(InMemory, RelayLogConformance):
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


class TestRedis(OnRedis, RelayLogConformance):
    @pytest.fixture
    async def rival(self, redis_url: str) -> AsyncIterator[RedisRelayLog]:
        relay = RedisRelayLog(redis_url, 0, "local", worker="two")
        yield relay
        await relay.close()

    @pytest.fixture
    def lapse(self, server: Any) -> Act:
        async def lapse() -> None:
            server.delete(PREFIX + "lease:local")

        return lapse

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
