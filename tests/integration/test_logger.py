"""The logger between a real Valkey and a real PostgreSQL: killed, without a store, with poison, and with a log that is short of room."""

import asyncio
import resource
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from functions.log_batch.handler import handle
from functions.logger.handler import Logger
from shared.adapters.postgres import PostgresMessageStore
from shared.adapters.postgres.migrations import migrate
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.log_reader import RedisLogReader
from shared.adapters.redis.relay_log import RedisRelayLog
from shared.domain.logged import Taken
from shared.domain.record import pack_records
from shared.domain.relaying import Relayed
from shared.ports import MessageStore
from tests.events import accepted
from tests.servers import LocalServer
from tests.waiting import eventually

PREFIX = "sb:log:{0}:"
MANY = 1 << 24


@asynccontextmanager
async def logging(redis_url: str, store: MessageStore, worker: str = "logger") -> AsyncIterator[Logger]:
    """A logger at work for the time of the block."""

    async def write(shard: int, taken: Sequence[Taken]) -> None:
        await handle(shard, taken, store)

    reader, stop = RedisLogReader(redis_url, worker=worker), asyncio.Event()
    logger = Logger(0, reader, write)
    running = asyncio.create_task(logger.run(stop))
    try:
        yield logger
    finally:
        stop.set()
        await running
        await reader.close()


def rows(database: str) -> list[str]:
    """The event ids in the store, one a row."""
    with psycopg.connect(database) as connection:
        return [id for (id,) in connection.execute("SELECT event_id FROM messages WHERE verdict = 'accepted' ORDER BY event_id").fetchall()]


async def fill(queue: RedisLogQueue, flushes: int, size: int = 10, targets: tuple[str, ...] = ()) -> list[str]:
    """Log that many flushes; the event ids, sorted."""
    ids = [[f"e{number:04}-{place:03}" for place in range(size)] for number in range(flushes)]
    for some in ids:
        await queue.append([accepted(id, targets=targets) for id in some])
    return [id for some in ids for id in some]


def held(server: Any) -> dict[str, object]:
    """What is left in the log of what was taken."""
    usage = {name.decode(): int(value) for name, value in server.hgetall(PREFIX + "usage").items()}
    return {
        "queue": server.llen(PREFIX + "queue"),
        "flushes": len(server.keys(PREFIX + "flush:*")) + len(server.keys(PREFIX + "index:*")),
        "held": server.hlen(PREFIX + "held"),
        "total": usage.get("total", 0),
        "orgs": [name for name in usage if name.startswith("org:")],
    }


EMPTY = {"queue": 0, "flushes": 0, "held": 0, "total": 0, "orgs": []}


async def test_every_message_has_its_row_and_the_log_is_empty_when_the_logger_has_caught_up(
    queue: RedisLogQueue, redis_url: str, database: str, store: PostgresMessageStore, server: Any
) -> None:
    ids = await fill(queue, 30)
    async with logging(redis_url, store):
        await eventually(lambda: rows(database) == ids)
        await eventually(lambda: held(server) == EMPTY)


async def test_each_message_has_one_row_when_two_loggers_share_the_shard(
    queue: RedisLogQueue, redis_url: str, database: str, store: PostgresMessageStore, server: Any
) -> None:
    async with logging(redis_url, store, "one"), logging(redis_url, store, "two"):
        ids = await fill(queue, 100)
        await eventually(lambda: rows(database) == ids)
        await eventually(lambda: held(server) == EMPTY)


async def test_each_message_has_one_row_when_a_logger_was_killed_after_it_wrote_and_before_it_committed(
    queue: RedisLogQueue, redis_url: str, database: str, store: PostgresMessageStore, server: Any
) -> None:
    ids = await fill(queue, 20)
    killed = RedisLogReader(redis_url, worker="killed")
    await handle(0, await killed.take(MANY, 120), store)
    assert len(rows(database)) == 120
    await killed.close()
    server.zincrby(PREFIX + "workers", -6_000, "killed")
    async with logging(redis_url, store):
        await eventually(lambda: rows(database) == ids)
        await eventually(lambda: held(server) == EMPTY)
    assert server.keys(PREFIX + "taken:*") == []


async def test_flushes_are_taken_again_when_the_reply_that_named_them_was_lost(queue: RedisLogQueue, redis_url: str, server: Any) -> None:
    await fill(queue, 3)
    reader = RedisLogReader(redis_url, worker="one")
    assert await reader.take(MANY, 10)
    server.lmove(PREFIX + "queue", PREFIX + "taken:one", "RIGHT", "LEFT")  # moved, and nobody was told
    taking = asyncio.create_task(reader.take(MANY, 10))
    await eventually(lambda: server.llen(PREFIX + "queue") == 0)
    first = await taking
    waiting = asyncio.create_task(reader.take(MANY, 10))
    await eventually(lambda: any(client["cmd"] == "xread" for client in server.client_list()))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    again = await reader.take(MANY, 10)
    assert sorted(flush.number for flush in (*first, *again)) == [2, 3]
    await reader.close()


async def test_nothing_gets_into_the_list_of_a_worker_that_is_stopped_while_it_waits(
    queue: RedisLogQueue, redis_url: str, server: Any
) -> None:
    """It may be killed without going on, and those who took it for gone have looked at its list already."""
    await queue.append([accepted("e1")])
    reader, other = RedisLogReader(redis_url, worker="stopped"), RedisLogReader(redis_url, worker="other")
    await reader.commit(await reader.take(MANY, 10))
    waiting = asyncio.create_task(reader.take(MANY, 10))
    await eventually(lambda: any("b" in client["flags"] for client in server.client_list()))  # blocked
    server.zincrby(PREFIX + "workers", -6_000, "stopped")
    await other.recover()
    server.lpush(PREFIX + "queue", 2)  # what a door's flush does; the worker's loop stands still in these lines
    server.xadd(PREFIX + "feed", {"f": b""}, id="2-0")
    assert server.lrange(PREFIX + "taken:stopped", 0, -1) == []
    assert await waiting == []
    assert server.zscore(PREFIX + "workers", "stopped") is not None, "known again before it had anything"
    await reader.close()
    await other.close()


async def test_neighbours_have_their_rows_when_a_record_is_poison(
    queue: RedisLogQueue, redis_url: str, database: str, store: PostgresMessageStore, server: Any
) -> None:
    poison = accepted("poison", subject="a\0b")
    await queue.append([accepted("e1"), poison, accepted("e2")])
    await queue.append([accepted("e3")])
    async with logging(redis_url, store):
        await eventually(lambda: rows(database) == ["e1", "e2", "e3"])
        await eventually(lambda: server.llen(PREFIX + "taken:logger") == 0)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT packed FROM quarantine").fetchall() == [(pack_records([poison]),)]


async def test_a_flush_of_another_release_goes_to_quarantine_and_the_others_to_the_store(
    queue: RedisLogQueue, redis_url: str, database: str, store: PostgresMessageStore, server: Any
) -> None:
    await queue.append([accepted("e1")])
    await queue.append([accepted("e2")])
    server.setrange(PREFIX + "flush:1", 0, b"\x63")
    packed = server.get(PREFIX + "flush:1")
    async with logging(redis_url, store):
        await eventually(lambda: rows(database) == ["e2"])
        await eventually(lambda: server.llen(PREFIX + "taken:logger") == 0)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT packed FROM quarantine").fetchall() == [(packed,)]


async def test_a_flush_that_is_gone_is_skipped_and_counted(queue: RedisLogQueue, redis_url: str, server: Any) -> None:
    await fill(queue, 3, size=1)
    server.delete(PREFIX + "flush:2")
    reader = RedisLogReader(redis_url, worker="one")
    taken = await reader.take(MANY, 10)
    assert [flush.number for flush in taken] == [1, 3]
    assert reader.missing == 1
    assert server.lrange(PREFIX + "taken:one", 0, -1) == [b"3", b"1"]
    await reader.close()


async def test_memory_is_flat_and_nothing_is_lost_when_the_store_is_down_for_long(
    queue: RedisLogQueue, redis_url: str, server: Any, own_database: LocalServer
) -> None:
    migrate(own_database.url)
    store = PostgresMessageStore(own_database.url)
    await store.start()
    try:
        ids = await fill(queue, 1, size=500)
        async with logging(redis_url, store) as logger:
            await eventually(lambda: rows(own_database.url) == ids)
            own_database.kill()
            body = b'"' + b"x" * 20_000 + b'"'
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for number in range(40):
                more = [f"f{number:02}-{place:03}" for place in range(200)]
                await queue.append([accepted(id, body=body, targets=()) for id in more])
                ids += more
            await eventually(lambda: logger.failures > 2)
            taken = server.llen(PREFIX + "taken:logger")
            assert 40 - taken <= server.llen(PREFIX + "queue")
            assert taken <= 12, "two batches of 16 MiB, of flushes of 4 MB, and one that was there before"
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown < 200 * 1024, f"{grown} KiB more for 160 MB in the queue"
            own_database.start()
            await eventually(lambda: rows(own_database.url) == sorted(ids))
            await eventually(lambda: held(server) == EMPTY)
    finally:
        await store.stop()


async def test_the_logger_goes_on_when_redis_was_restarted(own_redis: LocalServer, database: str, store: PostgresMessageStore) -> None:
    async def log(id: str) -> None:
        queue = RedisLogQueue(own_redis.url)
        await queue.start()
        await queue.append([accepted(id)])
        await queue.stop()

    async with logging(own_redis.url, store) as logger:
        await log("e1")
        await eventually(lambda: rows(database) == ["e1"])
        own_redis.kill()
        await eventually(lambda: logger.failures > 0)
        own_redis.start()
        await log("e2")
        await eventually(lambda: rows(database) == ["e1", "e2"])


async def test_only_an_index_stays_of_what_the_store_has_when_a_backbone_waits_and_the_log_is_short_of_room(
    queue: RedisLogQueue, redis_url: str, server: Any
) -> None:
    body = b'"' + b"x" * 5_000 + b'"'
    entries = await queue.append([accepted(f"e{number}", body=body) for number in range(10)])
    full = int(server.hget(PREFIX + "usage", "total"))
    reader = RedisLogReader(redis_url, limit_bytes=full)
    await reader.commit(await reader.take(MANY, 5_000))
    assert server.keys(PREFIX + "flush:*") == []
    assert int(server.hget(PREFIX + "usage", "total")) < full / 50

    relay = RedisRelayLog(redis_url, 0, "local")
    (entry,) = (await relay.oldest(100)).entries
    assert [(waiting.index, waiting.org, waiting.id, waiting.message) for waiting in entry.waiting] == [
        (each.index, "acme", each.message.id, None) for each in entries
    ]
    assert await relay.lease()
    await relay.done(Relayed(whole=[entry.flush]))
    assert held(server) == EMPTY
    await reader.close()
    await relay.close()


async def test_a_flush_stays_whole_when_there_is_room(queue: RedisLogQueue, redis_url: str, server: Any) -> None:
    await queue.append([accepted("e1")])
    reader = RedisLogReader(redis_url)
    await reader.commit(await reader.take(MANY, 5_000))
    assert server.keys(PREFIX + "flush:*") == [(PREFIX + "flush:1").encode()]
    assert server.hget(PREFIX + "held", "1").startswith(b"1 acme=")
    await reader.close()
