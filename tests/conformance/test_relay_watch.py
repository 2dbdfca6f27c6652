"""The relay watch's suite on memory and on Redis."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.relay_log import MemoryRelayLog, MemoryRelayWatch, Relays
from shared.adapters.redis.relay_watch import RedisRelayWatch
from tests.conformance.relay_log import Act
from tests.conformance.relay_servers import PREFIX, InMemory, OnRedis
from tests.conformance.relay_watch import BOTH, RelayWatchConformance


class TestMemory(InMemory, RelayWatchConformance):
    @pytest.fixture
    def relays(self, queue: MemoryLogQueue, now: list[float]) -> list[Relays]:
        return [Relays(queue, name, clock=lambda: now[0]) for name in BOTH]

    @pytest.fixture
    def watch(self, relays: list[Relays]) -> MemoryRelayWatch:
        return MemoryRelayWatch([MemoryRelayLog(each, "one") for each in relays], "one")

    @pytest.fixture
    def rival(self, relays: list[Relays]) -> MemoryRelayWatch:
        return MemoryRelayWatch([MemoryRelayLog(each, "two") for each in relays], "two")

    @pytest.fixture
    def relay(self, relays: list[Relays]) -> MemoryRelayLog:
        return MemoryRelayLog(relays[0], "one")


class TestRedis(OnRedis, RelayWatchConformance):
    @pytest.fixture
    async def watch(self, redis_url: str) -> AsyncIterator[RedisRelayWatch]:
        watch = RedisRelayWatch(redis_url, 0, "one")
        yield watch
        await watch.close()

    @pytest.fixture
    async def rival(self, redis_url: str) -> AsyncIterator[RedisRelayWatch]:
        watch = RedisRelayWatch(redis_url, 0, "two")
        yield watch
        await watch.close()

    @pytest.fixture
    def lapse(self, server: Any) -> Act:
        async def lapse() -> None:
            for name in BOTH:
                server.delete(PREFIX + f"lease:{name}")

        return lapse

    async def test_all_of_them_are_looked_at_when_they_are_more_than_a_script_takes(self, watch: RedisRelayWatch, server: Any) -> None:
        names = [f"b{number}" for number in range(250)]
        assert list(await watch.look(names)) == names
        server.pexpire(PREFIX + "lease:b7", 1_000)
        found = await watch.look(names)
        assert found["b7"].lasts_s == 3.0, "renewed: little was left of it"
        assert len({each.lease for each in found.values()}) == 1
