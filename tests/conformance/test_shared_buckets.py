"""The shared buckets, held to the same sums: in plain Python, and by the script on a real Valkey."""

import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.adapters.redis.keys import LIMITS
from shared.adapters.redis.limits import levels
from shared.adapters.redis.link import Link
from shared.domain.rules.limits import Report, shared_level
from tests.conformance.shared_buckets import SharedBuckets, SharedBucketsConformance


class _InPython:
    """Levels, their times and when they will be full, in a dict, by a clock of its own."""

    def __init__(self) -> None:
        self.buckets: dict[str, tuple[float, float, float]] = {}
        self.now = 0.0

    async def tell(self, reports: list[Report]) -> list[float]:
        self.buckets = {key: bucket for key, bucket in self.buckets.items() if bucket[2] > self.now}
        answers = []
        for key, rate, burst, taken in reports:
            level, at, _ = self.buckets.pop(key, (burst, self.now, 0.0))
            answers.append(shared_level(level, self.now - at, rate, burst, taken))
            if answers[-1] < burst:
                self.buckets[key] = answers[-1], self.now, self.now + (burst - answers[-1]) / rate
        return answers

    async def kept(self) -> int:
        return len(self.buckets)

    async def passed(self, seconds: float) -> None:
        self.now += seconds

    async def forget(self) -> None:
        self.buckets.clear()


class _InRedis:
    """The script; time passes by making what is there older."""

    def __init__(self, url: str) -> None:
        self.redis: Any = Redis.from_url(url)
        self.link = Link(url)

    async def tell(self, reports: list[Report]) -> list[float]:
        return await levels(self.link, reports, 0.0)

    async def passed(self, seconds: float) -> None:
        for key, value in (await self.redis.hgetall(f"{LIMITS}levels")).items():
            level, at = struct.unpack(">dd", value)
            await self.redis.hset(f"{LIMITS}levels", key, struct.pack(">dd", level, at - seconds))
            await self.redis.zincrby(f"{LIMITS}full", -seconds, key)

    async def forget(self) -> None:
        await self.redis.flushdb()

    async def kept(self) -> int:
        kept: int = await self.redis.hlen(f"{LIMITS}levels")
        assert kept == await self.redis.zcard(f"{LIMITS}full")
        return kept


class TestPython(SharedBucketsConformance):
    @pytest.fixture
    def buckets(self) -> SharedBuckets:
        return _InPython()


class TestRedis(SharedBucketsConformance):
    @pytest.fixture
    async def buckets(self, redis_url: str) -> AsyncIterator[SharedBuckets]:
        script = _InRedis(redis_url)
        yield script
        await script.link.close()
        await script.redis.aclose()

    async def test_nothing_is_kept_when_a_bucket_is_full(self, redis_url: str) -> None:
        script = _InRedis(redis_url)
        for taken in (3, -3):
            await script.tell([Report("k", 0.001, 10, taken)])
            assert await script.redis.exists(f"{LIMITS}levels", f"{LIMITS}full") == (2 if taken > 0 else 0)
        await script.link.close()
        await script.redis.aclose()
