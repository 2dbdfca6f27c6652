"""The keepers of the last snapshot, held to the same behaviour; and what only Redis shows."""

import pytest
import redis.asyncio

from shared.adapters.memory.snapshot_keeper import MemorySnapshotKeeper
from shared.adapters.redis.keys import SNAPSHOT
from shared.adapters.redis.snapshot_keeper import RedisSnapshotKeeper
from shared.domain.errors import Unavailable
from tests.conformance.snapshot_keeper import SnapshotKeeperConformance
from tests.ports import free_port


class TestMemory(SnapshotKeeperConformance):
    @pytest.fixture
    def keeper(self) -> MemorySnapshotKeeper:
        return MemorySnapshotKeeper()

    @pytest.fixture
    def other(self, keeper: MemorySnapshotKeeper) -> MemorySnapshotKeeper:
        return keeper


class TestRedis(SnapshotKeeperConformance):
    @pytest.fixture
    def keeper(self, redis_url: str) -> RedisSnapshotKeeper:
        return RedisSnapshotKeeper(redis_url)

    @pytest.fixture
    def other(self, redis_url: str) -> RedisSnapshotKeeper:
        return RedisSnapshotKeeper(redis_url)

    async def test_nothing_is_written_when_it_is_kept_already(self, keeper: RedisSnapshotKeeper, redis_url: str) -> None:
        async with redis.asyncio.Redis.from_url(redis_url) as client:
            await keeper.keep(b"same")
            await client.hset(SNAPSHOT, "packed", b"left as it is")
            await keeper.keep(b"same")
            assert await keeper.kept() == b"left as it is"

    async def test_keeper_is_unavailable_when_nobody_listens_or_the_key_is_another_s(
        self, keeper: RedisSnapshotKeeper, redis_url: str
    ) -> None:
        nobody = RedisSnapshotKeeper(f"redis://127.0.0.1:{free_port()}")
        async with redis.asyncio.Redis.from_url(redis_url) as client:
            await client.set(SNAPSHOT, b"no hash")
        for place in (nobody, keeper):
            with pytest.raises(Unavailable):
                await place.keep(b"x")
            with pytest.raises(Unavailable):
                await place.kept()
