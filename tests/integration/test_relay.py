"""The relay between a real Valkey and a real NATS server: outages under traffic, rivals, and what a stream refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats

from functions.logger.outcome import Schedule
from functions.logger.relay import Relay
from functions.route.handler import Route
from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.postgres import PostgresMessageStore
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.log_reader import RedisLogReader
from shared.adapters.redis.relay_log import RedisRelayLog
from shared.domain.record import DeadLetter, Deliveries, Flush, unpack_flush
from shared.domain.verdict import Delivery
from shared.ports import MessageStore
from tests.events import accepted
from tests.faults.ledger import streamed
from tests.relays import at_work
from tests.servers import LocalServer
from tests.waiting import eventually

PREFIX = "sb:log:{0}:"
QUICK = Schedule(attempts=3, initial_ms=20, look_s=0.1, longest_pause_s=0.5)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[NatsBackbones]:
    backbones = NatsBackbones({"local": url}, timeout=30)
    await backbones.start()
    try:
        await eventually(lambda: backbones.reachable("local"))
        yield backbones
    finally:
        await backbones.stop()


@asynccontextmanager
async def relaying(
    redis_url: str, backbones: NatsBackbones, store: MessageStore, worker: str = "relay", schedule: Schedule = QUICK
) -> AsyncIterator[Relay]:
    """A relay at work for the time of the block."""
    log = RedisRelayLog(redis_url, 0, "local", worker=worker)
    relay = Relay(log, "local", backbones, store, schedule)
    try:
        async with at_work(relay, redis_url, worker):
            yield relay
    finally:
        await log.close()


def age(server: Any, seconds: int = 6) -> None:
    """Make everything pending that much older."""
    for number in server.zrange(PREFIX + "pending:local", 0, -1):
        server.zincrby(PREFIX + "pending:local", -seconds * 1_000_000, number)


def gate(server: Any) -> str:
    return str((server.hget(PREFIX + "gates", "local") or b"open").decode().split(" ")[0])


def noted(server: Any, kind: type) -> list[Any]:
    """The records of that kind in the log, oldest first."""
    numbers = [int(number) for number in reversed(server.lrange(PREFIX + "queue", 0, -1))]
    flushes = [unpack_flush(number, server.get(f"{PREFIX}flush:{number}")) for number in numbers]
    return [record for flush in flushes for _, record in flush.new() if isinstance(record, kind)]


def idle(server: Any) -> bool:
    return gate(server) == "open" and not server.zcard(PREFIX + "pending:local")


class Sources:
    """Senders at a door, each one message after the other; what became of each."""

    def __init__(self, queue: RedisLogQueue, backbones: NatsBackbones, org: str, count: int = 8) -> None:
        self.deliveries: list[Delivery] = []
        self.sent: dict[str, list[str]] = {f"/s{number}": [] for number in range(count)}
        self._queue, self._org = queue, org
        self._route = Route(backbones, queue)

    async def send(self, each: int) -> None:
        await asyncio.gather(*(self._send(source, each) for source in self.sent))

    async def until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.send(1)

    async def _send(self, source: str, each: int) -> None:
        for _ in range(each):
            record = accepted(f"{len(self.sent[source]):05}", org=self._org, source=source)
            entries = await self._queue.append([record])
            self.sent[source].append(record.message.id.hex())
            ((delivery,),) = await self._route.handle(entries).deliveries()
            self.deliveries.append(delivery)

    def in_order(self, stream: list[str]) -> None:
        """Every message once, and each source's in its order."""
        found = [id.replace("-", "") for id in stream]
        assert len(found) == len(set(found)), "a message is there twice"
        places = {id: place for place, id in enumerate(found)}
        for ids in self.sent.values():
            assert [id for id in ids if id not in places] == []
            assert sorted(ids, key=places.__getitem__) == ids


async def test_nothing_is_relayed_when_the_door_delivered(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    sources = Sources(queue, backbones, org, count=1)
    async with relaying(redis_url, backbones, store) as relay:
        await sources.send(1)
        await eventually(lambda: not server.zcard(PREFIX + "pending:local"))
        before = server.info("commandstats")["cmdstat_evalsha"]["calls"]
        looked = server.info("stats")["total_commands_processed"]
        await eventually(lambda: relay.state == "open" and server.info("stats")["total_commands_processed"] > looked + 20)
        assert relay.delivered == 0
        assert before > 0
    assert len(await streamed(nats_url, f"sb-{org}")) == 1


async def test_order_holds_and_nothing_is_twice_when_nats_was_away_under_traffic(
    queue: RedisLogQueue, redis_url: str, store: PostgresMessageStore, server: Any, own_nats: LocalServer, org: str
) -> None:
    async with connected(own_nats.url) as backbones, relaying(redis_url, backbones, store) as relay:
        sources, stop = Sources(queue, backbones, org), asyncio.Event()
        await sources.send(20)
        assert all(delivery.sequence for delivery in sources.deliveries)
        traffic = asyncio.create_task(sources.until(stop))
        own_nats.kill()
        await eventually(lambda: gate(server) == "held")
        sources.deliveries.clear()
        await eventually(lambda: len(sources.deliveries) > 500)
        assert {delivery.status for delivery in sources.deliveries} == {"pending"}
        own_nats.start()
        await eventually(lambda: gate(server) == "open")
        sources.deliveries.clear()
        await eventually(lambda: any(delivery.sequence for delivery in sources.deliveries))
        stop.set()
        await traffic
        await eventually(lambda: idle(server))
        assert relay.delivered >= 500
    sources.in_order(await streamed(own_nats.url, f"sb-{org}"))


async def test_one_relay_publishes_when_two_run(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    ids = []
    for number in range(100):
        entries = await queue.append([accepted(f"{number}-{place}", org=org) for place in range(50)])
        ids += [entry.message.id.hex() for entry in entries]
    age(server)
    async with relaying(redis_url, backbones, store, "one") as one, relaying(redis_url, backbones, store, "two") as two:
        await eventually(lambda: idle(server))
        assert sorted((one.delivered, two.delivered)) == [0, 5000]
    assert [id.replace("-", "") for id in await streamed(nats_url, f"sb-{org}")] == ids
    assert sum(len(record.sequences) for record in noted(server, Deliveries)) == 5000


async def test_the_other_relay_goes_on_when_one_hangs(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    await queue.append([accepted("e1", org=org)])
    age(server)
    hung = RedisRelayLog(redis_url, 0, "local", worker="hung")
    assert await hung.lease()
    async with relaying(redis_url, backbones, store) as relay:
        await eventually(lambda: idle(server) and relay.delivered == 1)
    await hung.close()
    assert len(await streamed(nats_url, f"sb-{org}")) == 1


async def test_a_refusal_is_tried_again_and_then_a_dead_letter_and_holds_nobody_when_the_stream_says_no(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    big = accepted("big", org=org, body=b'"' + b"x" * 5_000 + b'"')
    client = await nats.connect(nats_url)
    await client.jetstream().add_stream(name=f"sb-{org}", subjects=[f"sb.{org}.>"], max_msg_size=3_000, allow_atomic=True)
    entries = await queue.append([accepted("e1", org=org), big, accepted("e2", org=org)])
    age(server)
    async with relaying(redis_url, backbones, store):
        await eventually(lambda: len(noted(server, DeadLetter)) == 1)
        await eventually(lambda: idle(server))
    (dead,) = noted(server, DeadLetter)
    assert (dead.id, dead.attempts, dead.backbone) == (big.message.id, 3, "local")
    assert [record.attempt for record in noted(server, Deliveries) if record.error] == [1, 2, 3]
    assert server.zcard(PREFIX + "retry:local") == 0
    stream = await streamed(nats_url, f"sb-{org}")
    assert [id.replace("-", "") for id in stream] == [entries[0].message.id.hex(), entries[2].message.id.hex()]
    await client.close()


async def test_what_a_door_was_refused_is_tried_again_by_the_relay(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name=f"sb-{org}", subjects=[f"sb.{org}.>"], max_msg_size=3_000, allow_atomic=True)
    entries = await queue.append([accepted("big", org=org, body=b'"' + b"x" * 5_000 + b'"')])
    await Route(backbones, queue).handle(entries).deliveries()
    await eventually(lambda: server.zcard(PREFIX + "retry:local") == 1 and server.zcard(PREFIX + "pending:local") == 0)
    await jetstream.update_stream(name=f"sb-{org}", subjects=[f"sb.{org}.>"], max_msg_size=-1, allow_atomic=True)
    async with relaying(redis_url, backbones, store):
        await eventually(lambda: server.zcard(PREFIX + "retry:local") == 0)
    assert len(await streamed(nats_url, f"sb-{org}")) == 1
    assert gate(server) == "open"
    await client.close()


async def test_bodies_come_from_the_store_when_the_log_had_no_room_for_them(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    entries = await queue.append([accepted(f"e{number}", org=org) for number in range(20)])
    reader = RedisLogReader(redis_url, limit_bytes=1)
    taken = await reader.take(1 << 24, 5_000)
    await store.write(0, [flush for flush in taken if isinstance(flush, Flush)])
    await reader.commit(taken)
    assert server.keys(PREFIX + "flush:*") == []
    age(server)
    async with relaying(redis_url, backbones, store):
        await eventually(lambda: idle(server))
    stream = await streamed(nats_url, f"sb-{org}")
    assert [id.replace("-", "") for id in stream] == [entry.message.id.hex() for entry in entries]
    await reader.close()


async def test_nothing_is_published_twice_when_a_retry_healed_what_a_crashed_door_had_only_logged(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    await queue.append([accepted("e1", org=org), accepted("e2", org=org)])  # and the door died
    again = RedisLogQueue(redis_url)
    await again.start()
    entries = await again.append([accepted("e1", org=org)])
    ((delivery,),) = await Route(backbones, again).handle(entries).deliveries()
    assert (entries[0].outcome, delivery.sequence) == ("duplicate", 1)
    await again.stop()
    age(server)
    async with relaying(redis_url, backbones, store) as relay:
        await eventually(lambda: idle(server))
        assert relay.delivered == 1
    assert len(await streamed(nats_url, f"sb-{org}")) == 2


async def test_old_entries_are_not_published_when_the_store_has_their_delivery(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    route, reader = Route(backbones, queue), RedisLogReader(redis_url)
    await route.handle(await queue.append([accepted("e1", org=org)])).deliveries()
    await eventually(lambda: len(noted(server, Deliveries)) == 1)
    taken = await reader.take(1 << 24, 5_000)
    await store.write(0, [flush for flush in taken if isinstance(flush, Flush)])
    await reader.commit(taken)
    await reader.close()

    server.delete(*server.keys(PREFIX + "ids:*"))  # the recent window has passed: the same event is judged as new
    (entry, _) = await queue.append([accepted("e1", org=org), accepted("e2", org=org)])
    assert entry.outcome == "new"
    age(server, 121)
    async with relaying(redis_url, backbones, store) as relay:
        await eventually(lambda: idle(server))
        assert relay.delivered == 1, "e2 alone"
    assert len(await streamed(nats_url, f"sb-{org}")) == 2
