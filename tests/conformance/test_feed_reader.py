"""The feed's readers, held to the same behaviour."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence

import pytest
import redis.asyncio

from shared.adapters.memory.feed import MemoryFeedReader
from shared.adapters.redis.feed import RedisFeedReader
from shared.adapters.redis.keys import prefix
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.log_reader import RedisLogReader
from shared.domain.logged import Taken
from shared.domain.record import NEW, Accepted, pack_flush, pack_records
from shared.ports import FeedReader
from tests.conformance.feed_reader import FeedLog, FeedReaderConformance
from tests.events import accepted, attempt


class _InMemory:
    def __init__(self) -> None:
        self.memory = MemoryFeedReader(shards=2)
        self.reader: FeedReader = self.memory

    async def append(self, packed: bytes, shard: int = 0) -> int:
        return self.memory.append(packed, shard)

    async def logged(self, records: Sequence[Accepted]) -> int:
        now = time.time_ns() // 1000
        number = self.memory.append(pack_flush(now, bytes([NEW]) * len(records), pack_records(records)))
        self.memory.waiting[0][number] = now
        return number

    async def stored(self, number: int) -> None:
        del self.memory.waiting[0][number]

    async def trim(self, up_to: int) -> None:
        self.memory.trim(up_to)

    async def renew(self) -> None:
        self.memory.renew()


class _InRedis:
    """Writes as feed.lua does; `trimmed` by XTRIM where that is what an operator's Redis does, else by XDEL as the script."""

    def __init__(self, url: str, by_xtrim: bool) -> None:
        self.redis = redis.asyncio.Redis.from_url(url)
        self.reader: FeedReader = RedisFeedReader(url, shards=2)
        self.by_xtrim = by_xtrim
        self.queue, self.logger = RedisLogQueue(url), RedisLogReader(url)
        self.taken: dict[int, Taken] = {}

    async def logged(self, records: Sequence[Accepted]) -> int:
        (entry,) = await self.queue.append(records)
        return entry.flush

    async def stored(self, number: int) -> None:
        if not self.taken:
            self.taken = {flush.number: flush for flush in await self.logger.take(1 << 24, 5_000)}
        await self.logger.commit([self.taken[number]])

    async def append(self, packed: bytes, shard: int = 0) -> int:
        number = int(await self.redis.incr(f"{prefix(shard)}number"))
        await self.redis.setnx(f"{prefix(shard)}epoch", secrets.token_hex(8))
        await self.redis.xadd(f"{prefix(shard)}feed", {"f": packed}, id=f"{number}-0")
        return number

    async def trim(self, up_to: int) -> None:
        key = f"{prefix(0)}feed"
        if self.by_xtrim:
            await self.redis.xtrim(key, minid=f"{up_to + 1}-0", approximate=False)
        else:
            await self.redis.xdel(key, *(f"{number}-0" for number in range(1, up_to + 1)))

    async def renew(self) -> None:
        await self.redis.flushdb()


class TestMemory(FeedReaderConformance):
    @pytest.fixture
    def feed(self) -> FeedLog:
        return _InMemory()


class TestRedis(FeedReaderConformance):
    @pytest.fixture(params=["xdel", "xtrim"])
    async def feed(self, redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[FeedLog]:
        log = _InRedis(redis_url, request.param == "xtrim")
        await log.queue.start()
        yield log
        await log.queue.stop()
        await log.logger.close()
        await log.reader.close()
        await log.redis.aclose()

    async def test_refusals_are_unstored_too_when_they_wait(self, feed: _InRedis) -> None:
        numbers = [await feed.append(b"a"), await feed.append(b"b")]
        await feed.redis.lpush(f"{prefix(0)}refused", numbers[1])
        assert (await feed.reader.unstored())[0].number == numbers[1]

    async def test_oldest_is_told_when_a_logger_took_a_refusal_behind_what_was_logged_after_it(self, feed: _InRedis) -> None:
        """It takes the queue first, and one that is gone leaves them in that order."""
        packed = pack_flush(time.time_ns() // 1000, b"", pack_records([attempt("e0")]))
        refused = await feed.append(packed)
        await feed.redis.set(f"{prefix(0)}flush:{refused}", packed)
        await feed.redis.lpush(f"{prefix(0)}refused", refused)
        await feed.logged([accepted("e1")])
        assert len(await feed.logger.take(1 << 24, 5_000)) == 2
        assert (await feed.reader.unstored())[0].number == refused
        await feed.logger.leave()
        assert (await feed.reader.unstored())[0].number == refused

    async def test_oldest_is_told_when_two_loggers_gave_back_what_they_had(self, feed: _InRedis, redis_url: str) -> None:
        other = RedisLogReader(redis_url)
        numbers: list[int] = []
        for logger in (feed.logger, other):
            numbers.append(await feed.logged([accepted(f"e{len(numbers)}")]))
            assert [flush.number for flush in await logger.take(1 << 24, 5_000)] == numbers[-1:]
        await feed.logger.leave()
        await other.leave()
        await other.close()
        assert (await feed.reader.unstored())[0].number == numbers[0]
