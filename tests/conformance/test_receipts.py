"""The suite of receipts' places in memory, on Valkey and on NATS, and what only a server can show."""

from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
import redis.asyncio

from shared.adapters.memory.receipts import MemoryReceipts
from shared.adapters.nats.receipts import NatsReceipts
from shared.adapters.redis.receipts import RedisReceipts
from shared.domain.errors import Unavailable
from tests.conformance.receipts import Outside, ReceiptsConformance
from tests.ports import free_port
from tests.waiting import eventually


class InMemory:
    def __init__(self, org: str) -> None:
        self.org, self.place, self.receipts = org, "anywhere", MemoryReceipts()

    async def came(self, count: int) -> list[bytes]:
        return self.receipts.told[self.place]


class TestMemory(ReceiptsConformance):
    @pytest.fixture
    def outside(self, org: str) -> Outside:
        return InMemory(org)


class InRedis:
    def __init__(self, receipts: RedisReceipts, client: Any, org: str) -> None:
        self.org, self.place, self.receipts, self.client = org, f"sb:receipts:{{{org}}}:a", receipts, client

    async def came(self, count: int) -> list[bytes]:
        found: list[bytes] = await self.client.lrange(self.place, 0, -1)
        return found


class TestRedis(ReceiptsConformance):
    @pytest.fixture
    async def outside(self, redis_url: str, org: str) -> AsyncIterator[InRedis]:
        receipts = RedisReceipts(redis_url, limit_bytes=64 * 1024)
        async with redis.asyncio.Redis.from_url(redis_url) as client:
            yield InRedis(receipts, client, org)
        await receipts.close()

    async def test_list_expires_and_is_bounded_as_the_doors_own_are(self, outside: InRedis) -> None:
        for _ in range(12):
            await outside.receipts.tell(outside.org, outside.place, b"x" * 1024)
        assert 0 < await outside.client.pttl(outside.place) <= 3_600_000
        assert 0 < await outside.client.llen(outside.place) < 12
        assert outside.receipts.dropped + await outside.client.llen(outside.place) == 12
        assert await outside.client.keys("sb:door:*:workers") == [], "who only tells holds nothing"

    async def test_receipt_can_t_be_told_when_the_server_is_away(self, org: str) -> None:
        receipts = RedisReceipts(f"redis://127.0.0.1:{free_port()}")
        with pytest.raises(Unavailable):
            await receipts.tell(org, f"sb:receipts:{{{org}}}:a", b"{}")
        await receipts.close()


class InNats:
    def __init__(self, receipts: NatsReceipts, org: str) -> None:
        self.org, self.place, self.receipts = org, f"_INBOX.{org}.1", receipts
        self.got: list[bytes] = []

    async def take(self, message: Any) -> None:
        self.got.append(message.data)

    async def came(self, count: int) -> list[bytes]:
        await eventually(lambda: len(self.got) >= count, 30)
        return self.got


class TestNats(ReceiptsConformance):
    @pytest.fixture
    async def outside(self, nats_url: str, org: str) -> AsyncIterator[InNats]:
        receipts = NatsReceipts(nats_url)
        await receipts.start()
        client = await nats.connect(nats_url)
        found = InNats(receipts, org)
        await client.subscribe(found.place, cb=found.take)
        await client.flush()
        yield found
        await client.close()
        await receipts.stop()

    async def test_receipt_is_dropped_when_nobody_listens(self, outside: InNats) -> None:
        await outside.receipts.tell(outside.org, f"_INBOX.{outside.org}.2", b"{}")
        await outside.receipts.tell(outside.org, outside.place, b"{}")
        assert await outside.came(1) == [b"{}"]

    async def test_receipt_can_t_be_told_when_the_server_is_away(self, org: str) -> None:
        receipts = NatsReceipts(f"nats://127.0.0.1:{free_port()}")
        await receipts.start()
        with pytest.raises(Unavailable):
            await receipts.tell(org, f"_INBOX.{org}.1", b"{}")
        await receipts.stop()
