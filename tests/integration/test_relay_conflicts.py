"""What the relay does with two events of one identity, accepted further apart than the log's window: both are acknowledged, both arrive."""

from typing import Any

import pytest

from functions.route.handler import Route
from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.postgres import PostgresMessageStore
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.log_reader import RedisLogReader
from shared.domain.record import Deliveries, Flush
from tests.conformance.backbones import BACKBONE
from tests.events import accepted
from tests.integration.test_nats_duplicates import BODIES, delivered, relaying, window_passes
from tests.integration.test_relay import PREFIX, age, idle, noted
from tests.nats_streams import read_stream
from tests.waiting import eventually


async def store_the_log(redis_url: str, store: PostgresMessageStore, limit_bytes: int = 1 << 30) -> None:
    """What a logger does with all there is; `limit_bytes` is the shard's."""
    reader = RedisLogReader(redis_url, limit_bytes=limit_bytes)
    taken = await reader.take(1 << 24, 5_000)
    await store.write(0, [flush for flush in taken if isinstance(flush, Flush)])
    await reader.commit(taken)
    await reader.close()


@pytest.mark.parametrize("stored", [True, False])
async def test_second_is_published_when_the_delivery_on_record_is_the_firsts(
    queue: RedisLogQueue,
    redis_url: str,
    server: Any,
    database: str,
    store: PostgresMessageStore,
    backbones: NatsBackbones,
    nats_url: str,
    org: str,
    stored: bool,
) -> None:
    await delivered(Route(backbones, queue), queue, org, BODIES[0])
    await eventually(lambda: len(noted(server, Deliveries)) == 1)
    await store_the_log(redis_url, store)
    window_passes(redis_url)
    (entry,) = await queue.append([accepted("e1", org=org, body=BODIES[1])])
    assert entry.outcome == "new"
    if stored:
        await store_the_log(redis_url, store)
    age(server, 125)
    async with relaying(redis_url, backbones, database):
        await eventually(lambda: idle(server))
    assert [message.body for message in await read_stream(nats_url, org)] == BODIES


async def test_each_has_its_own_body_when_the_log_had_no_room_for_them(
    queue: RedisLogQueue,
    redis_url: str,
    server: Any,
    database: str,
    store: PostgresMessageStore,
    backbones: NatsBackbones,
    nats_url: str,
    org: str,
) -> None:
    for body in BODIES:
        (entry,) = await queue.append([accepted("e1", org=org, body=body)])
        assert entry.outcome == "new"
        window_passes(redis_url)
    await store_the_log(redis_url, store, limit_bytes=1)
    assert server.keys(PREFIX + "flush:*") == []
    queue.hold(0, BACKBONE, "an outage, as the log sees it")
    async with relaying(redis_url, backbones, database):
        await eventually(lambda: idle(server))
    assert [message.body for message in await read_stream(nats_url, org)] == BODIES
