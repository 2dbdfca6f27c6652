"""The writers of the hub's feed, held to the same behaviour; and what only Redis shows."""

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from shared.adapters.memory.feed import MemoryFeedReader, MemoryFeedWriter
from shared.adapters.redis.feed import RedisFeedReader
from shared.adapters.redis.feed_writer import RedisFeedWriter
from shared.adapters.redis.keys import prefix
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.domain.errors import Unavailable
from tests import events
from tests.conformance.feed_writer import FeedWriterConformance
from tests.ports import free_port
from tests.stored import accepted, flush

LIMIT = 64 * 1024 * 1024


class TestMemory(FeedWriterConformance):
    @pytest.fixture
    def reader(self) -> MemoryFeedReader:
        return MemoryFeedReader()

    @pytest.fixture
    def writer(self, reader: MemoryFeedReader) -> MemoryFeedWriter:
        return MemoryFeedWriter(reader)


class TestRedis(FeedWriterConformance):
    @pytest.fixture
    async def reader(self, redis_url: str) -> AsyncIterator[RedisFeedReader]:
        reader = RedisFeedReader(redis_url)
        yield reader
        await reader.close()

    @pytest.fixture
    async def writer(self, redis_url: str) -> AsyncIterator[RedisFeedWriter]:
        writer = RedisFeedWriter(redis_url, 1, LIMIT)
        yield writer
        await writer.stop()

    async def test_nothing_is_in_the_hub_s_log_queue_and_its_own_numbers_go_on_when_others_are_shown(
        self, writer: RedisFeedWriter, reader: RedisFeedReader, redis_url: str
    ) -> None:
        log = RedisLogQueue(redis_url)
        await log.start()
        try:
            await log.append([events.accepted("1")])
            await writer.show("edge", 0, [flush(1, accepted("2"))])
            await log.append([events.accepted("3")])
        finally:
            await log.stop()
        shown = await self.shown(reader)
        assert [one.number for one in shown] == [1, 2, 3]
        async with redis.asyncio.Redis.from_url(redis_url) as client:
            assert await client.lrange(f"{prefix(0)}queue", 0, -1) == [b"3", b"1"]
            assert await client.exists(f"{prefix(0)}flush:2") == 0
            assert 0 < await client.ttl(f"{prefix(0)}shown:edge:0") <= 960

    async def test_feed_is_trimmed_by_bytes_when_others_fill_it(self, redis_url: str, reader: RedisFeedReader) -> None:
        writer = RedisFeedWriter(redis_url, 1, 1024 * 1024)  # the feed has a quarter
        for number in range(1, 60):
            await writer.show("edge", 0, [flush(number, accepted(str(number), body=b"x" * 15_000))])
        (span,) = await reader.spans()
        assert (span.lost > 30, span.next) == (True, 60)
        await writer.stop()


async def test_feed_is_unavailable_and_says_so_when_its_redis_is_away() -> None:
    writer = RedisFeedWriter(f"redis://127.0.0.1:{free_port()}/0", 1, LIMIT)
    for call in (writer.ready(), writer.show("edge", 0, [flush(1, accepted("1"))])):
        with pytest.raises(Unavailable):
            await call
        assert not writer.reachable()
    await writer.stop()
