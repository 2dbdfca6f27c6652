"""What becomes of a message whose id the stream knows: from another event of its identity, or from itself."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import redis
from nats.aio.client import Client
from nats.aio.msg import Msg

from functions.logger.relay import Relay
from functions.route.handler import Route
from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.postgres import PostgresMessageStore
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.relay_log import RedisRelayLog
from shared.domain.publishing import Outgoing
from shared.domain.record import Deliveries, unpack_flush
from shared.domain.verdict import Delivery
from tests.conformance.backbones import BACKBONE, message, outgoing, sequences, two_of_one_identity
from tests.events import accepted
from tests.nats_streams import read_stream
from tests.relays import at_work
from tests.waiting import eventually

BODIES = [b'{"amount":1}', b'{"amount":2}']


@asynccontextmanager
async def relaying(redis_url: str, backbones: NatsBackbones, database: str) -> AsyncIterator[Relay]:
    """A relay at work for the time of the block."""
    store, log = PostgresMessageStore(database), RedisRelayLog(redis_url, 0, BACKBONE, worker="relay")
    await store.start()
    relay = Relay(log, BACKBONE, backbones, store)
    try:
        async with at_work(relay, redis_url, "relay"):
            yield relay
    finally:
        await log.close()
        await store.stop()


def window_passes(redis_url: str) -> None:
    """The log forgets the identities it has seen, as it does after 120 s; the stream still knows them."""
    with redis.Redis.from_url(redis_url) as server:
        server.delete(*server.keys("sb:log:*:ids:*"))


async def delivered(route: Route, queue: RedisLogQueue, org: str, body: bytes) -> tuple[str, Delivery]:
    """Accept and publish `e1` with that body; what the log said, and the delivery."""
    entries = await queue.append([accepted("e1", org=org, body=body)])
    ((delivery,),) = await route.handle(entries).deliveries()
    return entries[0].outcome, delivery


async def test_acknowledged_event_is_on_the_stream_when_its_identity_came_before_the_logs_window(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, nats_url: str, org: str
) -> None:
    route = Route(backbones, queue)
    assert await delivered(route, queue, org, b'{"amount":1}') == ("new", Delivery(BACKBONE, f"sb-{org}", 1))
    window_passes(redis_url)
    assert await delivered(route, queue, org, b'{"amount":2}') == ("new", Delivery(BACKBONE, f"sb-{org}", 2))
    assert await delivered(route, queue, org, b'{"amount":2}') == ("duplicate", Delivery(BACKBONE, f"sb-{org}", 2))
    assert [stored.body for stored in await read_stream(nats_url, org)] == BODIES


async def test_message_is_published_again_when_what_the_stream_knew_is_gone(
    backbones: NatsBackbones, client: Client, nats_url: str, org: str
) -> None:
    """Deleted, or over the stream's limits: nobody can say any more whether it was the same."""
    [one] = outgoing(org)
    await backbones.publish(BACKBONE, org, [one])
    await client.jetstream().delete_msg(f"sb-{org}", 1)
    for duplicate in (False, True):
        published = await backbones.publish(BACKBONE, org, [one])
        assert [(result.sequence, result.duplicate) for result in published.results] == [(2, duplicate)]
    assert len(await read_stream(nats_url, org)) == 1


async def test_message_of_the_largest_size_is_the_same_when_it_is_published_again(backbones: NatsBackbones, org: str) -> None:
    largest = [Outgoing(message(org, body=bytes([number]) * (4 * 1024 * 1024 - 1_000)), 1) for number in range(3)]
    assert sequences(await backbones.publish(BACKBONE, org, largest)) == [1, 2, 3]
    again = await backbones.publish(BACKBONE, org, largest)
    assert [(result.sequence, result.duplicate) for result in again.results] == [(1, True), (2, True), (3, True)]


@pytest.mark.parametrize("known", [True, False])
async def test_all_have_their_first_sequence_when_a_thousand_are_published_again(
    backbones: NatsBackbones, nats_url: str, org: str, known: bool
) -> None:
    group = [msgspec.structs.replace(one, known=known) for one in outgoing(org, 1000)]
    await backbones.publish(BACKBONE, org, group)
    started = time.monotonic()
    again = await backbones.publish(BACKBONE, org, group)
    assert time.monotonic() - started < 5
    assert sequences(again) == list(range(1, 1001))
    assert all(result.duplicate for result in again.results)


async def test_message_is_the_same_when_a_batch_was_stored_and_its_answer_lost(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    group = outgoing(org, 400)
    await backbones.publish(BACKBONE, org, group)
    again = await backbones.publish(BACKBONE, org, [*group[:399], *outgoing(org)])
    assert sequences(again) == [*range(1, 400), 401]


async def test_message_is_lost_and_has_no_sequence_when_what_the_stream_knows_cannot_be_read(
    backbones: NatsBackbones, client: Client, org: str
) -> None:
    """A responder stands where the stream was: it says `duplicate`, and JetStream knows of no such stream."""
    first, second = two_of_one_identity(org)
    await backbones.publish(BACKBONE, org, [first])
    await client.jetstream().delete_stream(f"sb-{org}")

    async def answer(request: Msg) -> None:
        known: dict[str, Any] = {"stream": f"sb-{org}", "domain": "local", "seq": 1, "duplicate": True}
        await client.publish(request.reply, json.dumps(known).encode())

    await client.subscribe(f"sb.{org}.>", cb=answer)
    await client.request(f"sb.{org}.ready")  # a flush may overtake the subscription
    published = await backbones.publish(BACKBONE, org, [second, *outgoing(org)])
    assert sequences(published) == [0, 0]
    assert {result.lost for result in published.results} == {
        "the message that the stream has under its id could not be read in time: stream not found"
    }


async def test_both_are_on_the_stream_and_in_the_log_when_the_relay_delivers_two_of_one_identity(
    queue: RedisLogQueue, redis_url: str, database: str, backbones: NatsBackbones, nats_url: str, org: str
) -> None:
    for body in BODIES:
        (entry,) = await queue.append([accepted("e1", org=org, body=body)])
        assert entry.outcome == "new"
        window_passes(redis_url)
    queue.hold(0, BACKBONE, "an outage, as the log sees it")
    async with relaying(redis_url, backbones, database) as relay:
        await eventually(lambda: relay.delivered == 2 and relay.state == "open")
    assert [stored.body for stored in await read_stream(nats_url, org)] == BODIES
    with redis.Redis.from_url(redis_url) as server:
        packed = [(int(key.rpartition(b":")[2]), server.get(key)) for key in server.keys("sb:log:*:flush:*")]
    records = [record for number, flush in packed for _, record in unpack_flush(number, flush).new()]
    assert sorted(sequence for record in records if isinstance(record, Deliveries) for sequence in record.sequences) == [1, 2]
