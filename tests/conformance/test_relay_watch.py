"""The relay watch's suite on memory and on Redis."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.relay_log import MemoryRelayLog, MemoryRelayWatch, Relays
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.relay_log import RedisRelayLog
from shared.adapters.redis.relay_watch import RedisRelayWatch
from tests.conformance.relay_log import Act
from tests.conformance.relay_watch import BOTH, RelayWatchConformance

PREFIX = "sb:log:{0}:"


class TestMemory(RelayWatchConformance):
    @pytest.fixture
    def now(self) -> list[float]:
        return [1_800_000_000.0]

    @pytest.fixture
    def queue(self, now: list[float]) -> MemoryLogQueue:
        return MemoryLogQueue(clock=lambda: now[0])

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


class TestRedis(RelayWatchConformance):
    @pytest.fixture
    async def queue(self, redis_url: str) -> AsyncIterator[RedisLogQueue]:
        queue = RedisLogQueue(redis_url)
        await queue.start()
        yield queue
        await queue.stop()

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
    def lapse(self, server: Any) -> Act:
        async def lapse() -> None:
            for name in BOTH:
                server.delete(PREFIX + f"lease:{name}")

        return lapse

    @pytest.fixture
    def age(self, server: Any) -> Act:
        async def age() -> None:
            for number in server.zrange(PREFIX + "pending:local", 0, -1):
                server.zincrby(PREFIX + "pending:local", -6_000_000, number)

        return age

    async def test_all_of_them_are_looked_at_when_they_are_more_than_a_script_takes(self, watch: RedisRelayWatch, server: Any) -> None:
        names = [f"b{number}" for number in range(250)]
        assert list(await watch.look(names)) == names
        server.pexpire(PREFIX + "lease:b7", 1_000)
        found = await watch.look(names)
        assert found["b7"].lasts_s == 3.0, "renewed: little was left of it"
        assert len({each.lease for each in found.values()}) == 1
