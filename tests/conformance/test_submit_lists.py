"""The submit lists' suite in memory and on Valkey, and what only a server can show."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import redis.asyncio

from shared.adapters.memory.submit_lists import Lists, MemorySubmitLists
from shared.adapters.redis import submit_lists
from shared.adapters.redis.submit_lists import LARGEST, RedisSubmitLists
from shared.domain.errors import Unavailable
from shared.domain.submitted import Batch, Oversized, Settlement
from shared.ports import SubmitLists
from tests.conformance.submit_lists import ELEMENTS, SubmitListsConformance
from tests.servers import LocalServer
from tests.waiting import eventually

LIMIT = 100 * 1024


class MemoryOutside:
    def __init__(self, org: str) -> None:
        self.org, self.now = org, 0.0
        self.lists = Lists(limit=100, clock=lambda: self.now)

    async def push(self, *elements: bytes) -> None:
        self.lists.push(self.org, *elements)

    async def waiting(self) -> list[bytes]:
        return self.lists.submitted[self.org]

    async def receipts(self, name: str) -> list[bytes]:
        return self.lists.receipts[f"sb:receipts:{{{self.org}}}:{name}"]

    async def rejected(self) -> list[bytes]:
        return self.lists.rejected[self.org]

    async def five_seconds_later(self) -> None:
        self.now += 5.1


class TestMemory(SubmitListsConformance):
    @pytest.fixture
    def outside(self, org: str) -> MemoryOutside:
        return MemoryOutside(org)

    @pytest.fixture
    def workers(self, outside: MemoryOutside) -> Callable[[], SubmitLists]:
        made: list[MemorySubmitLists] = []

        def worker() -> SubmitLists:
            made.append(MemorySubmitLists(outside.lists, f"w{len(made)}"))
            return made[-1]

        return worker


class RedisOutside:
    def __init__(self, client: Any, org: str) -> None:
        self.client, self.org = client, org

    async def push(self, *elements: bytes) -> None:
        await self.client.lpush(f"sb:submit:{{{self.org}}}", *elements)

    async def waiting(self) -> list[bytes]:
        found: list[bytes] = await self.client.lrange(f"sb:submit:{{{self.org}}}", 0, -1)
        return found

    async def receipts(self, name: str) -> list[bytes]:
        found: list[bytes] = await self.client.lrange(f"sb:receipts:{{{self.org}}}:{name}", 0, -1)
        return found

    async def rejected(self) -> list[bytes]:
        found: list[bytes] = await self.client.lrange(f"sb:rejected:{{{self.org}}}", 0, -1)
        return found

    async def five_seconds_later(self) -> None:
        """The heartbeats are made that much older: the server's clock can't be."""
        key = f"sb:door:{{{self.org}}}:workers"
        for worker, beat in await self.client.zrange(key, 0, -1, withscores=True):
            await self.client.zadd(key, {worker: beat - 5_100})


class TestRedis(SubmitListsConformance):
    @pytest.fixture
    async def outside(self, redis_url: str, org: str) -> AsyncIterator[RedisOutside]:
        async with redis.asyncio.Redis.from_url(redis_url) as client:
            yield RedisOutside(client, org)

    @pytest.fixture
    async def workers(self, redis_url: str) -> AsyncIterator[Callable[[], RedisSubmitLists]]:
        made: list[RedisSubmitLists] = []

        def worker() -> RedisSubmitLists:
            made.append(RedisSubmitLists(redis_url, limit_bytes=LIMIT))
            return made[-1]

        yield worker
        for one in made:
            await one.close()

    async def test_idle_door_leaves_nothing_behind(self, workers: Callable[[], SubmitLists], outside: RedisOutside, org: str) -> None:
        lists = workers()
        await outside.push(*ELEMENTS)
        batch = await lists.take(org)
        await lists.beat([org, f"{org}2"])
        await lists.settle(org, "taken", batch, 5, Settlement())
        await lists.beat([org])
        await lists.recover([org])
        assert await outside.client.keys("*") == []

    async def test_key_that_is_no_list_is_told_and_harms_nobody(
        self, workers: Callable[[], SubmitLists], outside: RedisOutside, org: str
    ) -> None:
        lists = workers()
        await outside.client.set(f"sb:submit:{{{org}}}", "hello")
        await outside.client.lpush(f"sb:submit:{{{org}2}}", b"fine")
        assert await lists.waiting([org, f"{org}2"]) == [org, f"{org}2"]
        found = await lists.take(org)
        assert (found.wrong_type, list(found.elements)) == ("string", [])
        assert (await lists.take(f"{org}2")).elements == [b"fine"]
        assert await lists.settle(org, "taken", Batch(), 0, Settlement(rejected=[b"said"]))
        assert await outside.rejected() == [b"said"]

    async def test_receipts_find_no_room_when_their_key_is_no_list(
        self, workers: Callable[[], RedisSubmitLists], outside: RedisOutside, org: str
    ) -> None:
        lists, to = workers(), f"sb:receipts:{{{org}}}:mine"
        await outside.client.set(to, "hello")
        await outside.push(b"1")
        batch = await lists.take(org)
        assert await lists.settle(org, "taken", batch, 1, Settlement([(to, b"lost"), (f"{to}2", b"kept")]))
        assert await outside.receipts("mine2") == [b"kept"]
        assert lists.dropped == 1

    async def test_receipts_expire_and_are_bounded_when_nobody_reads_them(
        self, workers: Callable[[], RedisSubmitLists], outside: RedisOutside, org: str
    ) -> None:
        lists = workers()
        for number in range(20):
            told = [(f"sb:receipts:{{{org}}}:{'busy' if number % 2 else 'quiet'}", b"r" * 1_000)] * (20 if number % 2 else 1)
            assert await lists.settle(org, "taken", Batch(), 0, Settlement(told))
        busy, quiet = await outside.receipts("busy"), await outside.receipts("quiet")
        assert len(quiet) == 10  # a list that nobody reads leaves room for the others
        assert 1_000 * len(busy) <= LIMIT / 8
        assert lists.dropped == 200 - len(busy)
        ttl = await outside.client.pttl(f"sb:receipts:{{{org}}}:busy")
        assert 0 < ttl <= submit_lists.RECEIPTS_MS

    async def test_rejections_are_the_newest_when_there_are_too_many(
        self, workers: Callable[[], SubmitLists], outside: RedisOutside, org: str
    ) -> None:
        lists = workers()
        for first in range(0, 1_500, 500):
            assert await lists.settle(org, "taken", Batch(), 0, Settlement(rejected=[b"%d" % n for n in range(first, first + 500)]))
        assert await outside.rejected() == [b"%d" % number for number in range(500, 1_500)]
        for _ in range(3):
            assert await lists.settle(org, "taken", Batch(), 0, Settlement(rejected=[b"x" * 1_000_000] * 10))
        kept = await outside.rejected()
        assert sum(map(len, kept)) <= submit_lists.REJECTED_BYTES
        assert kept[-1] == b"x" * 1_000_000

    async def test_element_is_cut_when_it_is_larger_than_anything_a_door_reads(
        self, workers: Callable[[], SubmitLists], outside: RedisOutside, org: str
    ) -> None:
        lists = workers()
        await outside.push(b"first", b"x" * (LARGEST + 1), b"last")
        taken = await lists.take(org)
        assert list(taken.elements) == [b"first", Oversized(LARGEST + 1, b"x" * submit_lists.HEAD)]
        assert await lists.settle(org, "taken", taken, 2, Settlement())
        assert (await lists.take(org)).elements == [b"last"]

    async def test_many_orgs_are_taken_at_once_when_they_share_a_connection(
        self, workers: Callable[[], SubmitLists], outside: RedisOutside, org: str
    ) -> None:
        lists, orgs = workers(), [f"{org}-{number}" for number in range(200)]
        for one in orgs:
            await outside.client.lpush(f"sb:submit:{{{one}}}", one)
        assert await lists.waiting(orgs) == orgs
        taken = await asyncio.gather(*map(lists.take, orgs))
        assert [batch.elements for batch in taken] == [[one.encode()] for one in orgs]


async def test_every_call_says_so_when_the_server_is_away_and_works_when_it_is_back(own_redis: LocalServer, org: str) -> None:
    lists = RedisSubmitLists(own_redis.url)
    client: Any = redis.asyncio.Redis.from_url(own_redis.url)
    async with client:
        await client.lpush(f"sb:submit:{{{org}}}", json.dumps({"n": 1}))
    batch = await lists.take(org)
    assert len(batch.elements) == 1
    own_redis.kill()
    for call in (lists.waiting([org]), lists.take(org), lists.settle(org, "taken", batch, 1, Settlement()), lists.recover([org])):
        with pytest.raises(Unavailable):
            await call
    assert not lists.reachable()
    own_redis.start()

    async def back() -> bool:
        try:
            return (await lists.take(org)).again
        except Unavailable:
            return False

    assert await eventually(back)
    assert lists.reachable()
    await lists.close()


async def test_every_write_says_so_when_the_server_takes_none_and_works_when_it_does(own_redis: LocalServer, org: str) -> None:
    """A replica, or one that has lost its replicas: it goes on to answer what is read."""
    lists = RedisSubmitLists(own_redis.url)
    client: Any = redis.asyncio.Redis.from_url(own_redis.url)
    async with client:
        await client.lpush(f"sb:submit:{{{org}}}", json.dumps({"n": 1}))
        batch = await lists.take(org)
        await client.config_set("min-replicas-to-write", 1)
        calls: list[Coroutine[Any, Any, object]] = [lists.take(org), lists.beat([org]), lists.recover([org]), lists.leave([org])]
        calls.append(lists.settle(org, "taken", batch, 1, Settlement()))
        for call in calls:
            with pytest.raises(Unavailable):
                await call
            assert await lists.waiting([org]) == []
            assert not lists.reachable(), "though it answered"
        await client.config_set("min-replicas-to-write", 0)
        assert (await lists.take(org)).again
        assert lists.reachable()
        await client.replicaof("127.0.0.1", 1)
        with pytest.raises(Unavailable):
            await lists.recover([org])
        assert not lists.reachable()
        await client.replicaof("NO", "ONE")
        assert await lists.settle(org, "taken", batch, 1, Settlement())
        assert lists.reachable()
    await lists.close()
