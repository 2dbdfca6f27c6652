"""Repair between a real Valkey, NATS server and PostgreSQL: a store directory from before, a stream made anew (log.md, "Repair")."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
from nats.js.errors import NotFoundError

from functions.logger.handler import Logger
from functions.pipeline import write_rows
from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.postgres import PostgresMessageStore
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.log_reader import RedisLogReader
from tests.integration.test_relay import Sources, connected, idle, relaying
from tests.nats_streams import read_stream
from tests.servers import LocalServer
from tests.waiting import eventually

BATCH = 20  # messages of each of the 8 sources


def storage_of(server: LocalServer) -> Path:
    """Where the server has its streams."""
    (folder,) = server.server.program.log.parents[1].rglob("jetstream")
    return folder


@asynccontextmanager
async def logging(redis_url: str, store: PostgresMessageStore) -> AsyncIterator[None]:
    """A logger at work for the time of the block."""
    reader, stop = RedisLogReader(redis_url, 0), asyncio.Event()

    async def write(shard: int, taken: Any) -> None:
        await write_rows(shard, taken, store)

    running = asyncio.create_task(Logger(0, reader, write).run(stop))
    try:
        yield
    finally:
        stop.set()
        await running
        await reader.close()


@asynccontextmanager
async def at_work(redis_url: str, nats: LocalServer, store: PostgresMessageStore) -> AsyncIterator[NatsBackbones]:
    """Logger, relay, and a connection to the backbone as a door has it."""
    async with logging(redis_url, store), connected(nats.url) as own, relaying(redis_url, own, store), connected(nats.url) as doors:
        yield doors


async def settled(server: Any, sources: Sources, own_nats: LocalServer, org: str, since: int = 0) -> list[dict[str, str]]:
    """The headers of what is on the stream once nothing is pending and it has everything that each source sent, from its `since`th on."""
    expected = {id for ids in sources.sent.values() for id in ids[since:]}
    found: list[dict[str, str]] = []

    async def there() -> bool:
        try:
            found[:] = [one.headers for one in await read_stream(own_nats.url, org)]
        except NotFoundError:  # it is made anew
            return False
        return idle(server) and {headers["ce-sbid"].replace("-", "") for headers in found} == expected

    await eventually(there)
    return found


def ids_of(found: list[dict[str, str]]) -> list[str]:
    return [headers["ce-sbid"] for headers in found]


async def test_everything_is_there_again_in_order_when_a_store_directory_from_before_came_back(
    queue: RedisLogQueue, redis_url: str, store: PostgresMessageStore, server: Any, own_nats: LocalServer, tmp_path: Path, org: str
) -> None:
    async with at_work(redis_url, own_nats, store) as doors:
        sources = Sources(queue, doors, org)
        await sources.send(BATCH)
        own_nats.stop()
        storage = storage_of(own_nats)
        shutil.copytree(storage, tmp_path / "before")
        own_nats.start()
        await eventually(lambda: doors.reachable("local"))
        await sources.send(BATCH)
        before = await settled(server, sources, own_nats, org)
        own_nats.kill()
        shutil.rmtree(storage)
        shutil.copytree(tmp_path / "before", storage)
        own_nats.start()
        await sources.send(BATCH)  # the new ones, at once
        found = await settled(server, sources, own_nats, org)
    repaired = [headers["ce-sbid"] for headers in found if headers.get("ce-sbrepair") == "true"]
    lost = ids_of(before)[8 * BATCH :]
    assert repaired == lost
    sources.in_order(ids_of(found))


async def test_everything_is_there_again_when_the_stream_was_made_anew(
    queue: RedisLogQueue, redis_url: str, store: PostgresMessageStore, server: Any, own_nats: LocalServer, org: str
) -> None:
    async with at_work(redis_url, own_nats, store) as doors:
        sources = Sources(queue, doors, org)
        await sources.send(BATCH)
        before = await settled(server, sources, own_nats, org)
        client = await nats.connect(own_nats.url)
        await client.jetstream().delete_stream(f"sb-{org}")
        await client.close()
        found = await settled(server, sources, own_nats, org)
    assert ids_of(found) == ids_of(before)
    assert {headers.get("ce-sbrepair") for headers in found} == {"true"}


async def test_nothing_is_published_again_when_messages_expired_or_the_stream_was_purged(
    queue: RedisLogQueue, redis_url: str, store: PostgresMessageStore, server: Any, own_nats: LocalServer, org: str
) -> None:
    async with at_work(redis_url, own_nats, store) as doors:
        sources = Sources(queue, doors, org, count=1)
        await sources.send(3)
        await settled(server, sources, own_nats, org)
        client = await nats.connect(own_nats.url)
        await client.jetstream().purge_stream(f"sb-{org}")
        await client.close()
        own_nats.stop()
        own_nats.start()
        await eventually(lambda: doors.reachable("local"))
        await sources.send(1)
        found = await settled(server, sources, own_nats, org, since=3)
    assert [headers.get("ce-sbrepair") for headers in found] == [None]
