"""A Redis at its maxmemory: doors are told 503, and everything that frees room still works, until there is room again."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
import redis

from functions.logger.handler import Logger
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.log_reader import RedisLogReader
from shared.adapters.redis.relay_log import RedisRelayLog
from shared.domain.errors import Unavailable
from shared.domain.logged import Taken
from shared.domain.relaying import Relayed
from tests.events import accepted
from tests.servers import LocalServer
from tests.waiting import eventually

PREFIX = "sb:log:{0}:"
BODY = b'"' + b"x" * 20_000 + b'"'
LIMIT = 1 << 22  # of the log
ROOM = 2_000_000  # that something else in that Redis leaves it
MANY = 1 << 24


@pytest.fixture
def server(own_redis: LocalServer) -> Iterator[Any]:
    client = redis.Redis.from_url(own_redis.url)
    yield client
    client.close()


@pytest.fixture
async def queue(own_redis: LocalServer) -> AsyncIterator[RedisLogQueue]:
    queue = RedisLogQueue(own_redis.url, limit_bytes=LIMIT)
    await queue.start()
    yield queue
    await queue.stop()


async def fill(queue: RedisLogQueue, server: Any, targets: tuple[str, ...]) -> int:
    """Log until Redis has no room any more; how many flushes it took."""
    server.setrange("another's", LIMIT - 1, b"x")  # not SET: its 4 MiB of query buffer would be counted now, and given back meanwhile
    server.config_set("maxmemory", server.info("memory")["used_memory"] + ROOM)
    for number in range(400):
        try:
            (entry,) = await queue.append([accepted(f"e{number}", body=BODY, targets=targets)])
            assert entry.outcome == "new"
        except Unavailable:
            return number
    raise AssertionError("it never was full")


async def test_a_full_redis_is_drained_and_takes_messages_again_when_the_store_is_back(
    queue: RedisLogQueue, server: Any, own_redis: LocalServer
) -> None:
    logged = await fill(queue, server, targets=())
    assert logged > 20
    written: list[int] = []

    async def write(shard: int, taken: Sequence[Taken]) -> None:
        written.extend(flush.number for flush in taken)

    relay, reader, stop = RedisRelayLog(own_redis.url, 0, "local"), RedisLogReader(own_redis.url), asyncio.Event()
    assert await relay.lease()
    assert (await relay.gate()).state == "open"
    running = asyncio.create_task(Logger(0, reader, write).run(stop))
    await eventually(lambda: len(written) >= logged and not server.keys(PREFIX + "flush:*"))

    async def taken_again() -> bool:
        try:
            (entry,) = await queue.append([accepted("later", body=BODY, targets=())])
        except Unavailable:  # the server frees what it was told to a moment later
            return False
        return entry.outcome in ("new", "duplicate")

    await eventually(taken_again)
    stop.set()
    await running
    await relay.close()
    await reader.close()


async def test_everything_that_frees_room_works_when_redis_is_full(queue: RedisLogQueue, server: Any, own_redis: LocalServer) -> None:
    await fill(queue, server, targets=("local",))
    reader, other = RedisLogReader(own_redis.url, limit_bytes=1, worker="one"), RedisLogReader(own_redis.url, worker="two")
    relay = RedisRelayLog(own_redis.url, 0, "local")

    def full() -> None:
        server.config_set("maxmemory", server.info("memory")["used_memory"] - 100_000)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            server.set("more", "x")

    full()
    await reader.beat()
    assert len(await reader.take(MANY, 3)) == 3
    await reader.leave()
    taken = await reader.take(MANY, 5)
    server.config_set("maxmemory", 0)
    server.zincrby(PREFIX + "workers", -6_000, "one")
    full()
    assert await other.recover() == len(taken)
    taken = await reader.take(MANY, 5)
    full()
    await reader.commit(taken)
    assert len(server.keys(PREFIX + "index:*")) == len(taken), "shrunk"
    full()
    assert await relay.lease()
    gate = await relay.gate()
    oldest = await relay.oldest(100)
    full()
    assert (await relay.turn(gate, "held"))[0] is not None
    assert await relay.retries(10) == []
    full()
    pending = server.zcard(PREFIX + "pending:local")
    await relay.done(Relayed(whole=[entry.flush for entry in oldest.entries]))
    assert server.zcard(PREFIX + "pending:local") == pending - len(oldest.entries)
    for each in (reader, other, relay):
        await each.close()
