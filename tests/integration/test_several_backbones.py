"""Several backbones on real servers: each gets what is for it, one that is away slows no other, and one that is gone buries what waited."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from functions.logger.outcome import Schedule
from functions.logger.relay import Relay
from functions.logger.relays import Gone, Relays
from functions.route.handler import Route
from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.nats.endpoint import Endpoint, endpoints_of
from shared.adapters.postgres import PostgresMessageStore
from shared.adapters.redis.links import Links
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.relay_log import RedisRelayLog
from shared.adapters.redis.waited_for import waited_for
from shared.domain.record import DeadLetter
from shared.domain.registry.reach import Reach
from shared.domain.verdict import Delivery
from tests.events import accepted
from tests.faults.ledger import streamed
from tests.integration.test_relay import PREFIX, QUICK, noted
from tests.relays import watching
from tests.servers import LocalServer, running
from tests.waiting import eventually

EU = "main-0badcafe"


@pytest.fixture
def eu(tmp_path: Path) -> Iterator[LocalServer]:
    """A second server, for the backbone of the registry."""
    with running("nats", tmp_path / "eu") as server:
        yield server


def declared(server: LocalServer, folder: Path, **more: Any) -> dict[str, Endpoint]:
    """The endpoints as a snapshot and a folder of credentials say them."""
    parts = urlsplit(server.url)
    (folder / EU).write_text(f"{parts.username}:{parts.password}\n")
    reach = {"endpoint": f"nats://{parts.hostname}:{parts.port}", "here": True, **more}
    return endpoints_of([Reach(EU, "", "eu", "local", **reach)], folder)


@pytest.fixture
async def backbones(nats_url: str) -> AsyncIterator[NatsBackbones]:
    found = NatsBackbones({"local": nats_url}, timeout=30)
    await found.start()
    await eventually(lambda: found.reachable("local"))
    yield found
    await found.stop()


@asynccontextmanager
async def relays(redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, known: set[str]) -> AsyncIterator[None]:
    """The relays of shard 0 at work for the time of the block, on one connection; `known` may change."""
    links, stop = Links(redis_url, 1), asyncio.Event()
    async with watching(redis_url, "worker") as watched:

        async def run(backbone: str, gone: bool, stop: asyncio.Event) -> None:
            log = RedisRelayLog(redis_url, 0, backbone, worker="worker", links=links)
            schedule = Schedule(attempts=1, look_s=0.1) if gone else QUICK
            await watched.keep(Relay(log, backbone, Gone() if gone else backbones, store, schedule), stop)

        each = Relays(lambda: (set(known), True), lambda: waited_for(redis_url, 0), run, gone_every_s=0.2)
        task = asyncio.create_task(each.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task
            await links.close()


async def sent(queue: RedisLogQueue, backbones: NatsBackbones, id: str, org: str, *targets: str) -> tuple[Delivery, ...]:
    """What became of a message at its door, one delivery a target."""
    entries = await queue.append([accepted(id, targets=targets, org=org)])
    [deliveries] = await Route(backbones, queue).handle(entries).deliveries()
    return deliveries


async def test_message_is_where_it_was_routed_when_there_are_several_backbones(
    queue: RedisLogQueue, backbones: NatsBackbones, nats_url: str, eu: LocalServer, tmp_path: Path, org: str
) -> None:
    backbones.follow(declared(eu, tmp_path))
    await eventually(lambda: backbones.reachable(EU))
    [there] = await sent(queue, backbones, "e1", org, EU)
    both = await sent(queue, backbones, "e2", org, "local", EU)
    assert (there.backbone, there.sequence) == (EU, 1)
    assert {(one.backbone, one.sequence) for one in both} == {("local", 1), (EU, 2)}
    assert (len(await streamed(nats_url, f"sb-{org}")), len(await streamed(eu.url, f"sb-{org}"))) == (1, 2)
    backbones.follow({})
    assert not backbones.reachable(EU)
    assert backbones.reachable("local")


async def test_one_waits_and_the_other_does_not_when_a_backbone_is_away(
    queue: RedisLogQueue,
    backbones: NatsBackbones,
    redis_url: str,
    store: PostgresMessageStore,
    nats_url: str,
    eu: LocalServer,
    tmp_path: Path,
    org: str,
) -> None:
    backbones.follow(declared(eu, tmp_path))
    await eventually(lambda: backbones.reachable(EU))
    async with relays(redis_url, backbones, store, {"local", EU}):
        await sent(queue, backbones, "e0", org, "local", EU)
        eu.kill()
        await eventually(lambda: not backbones.reachable(EU))
        started = asyncio.get_running_loop().time()
        for number in range(1, 6):
            here, there = sorted(await sent(queue, backbones, f"e{number}", org, "local", EU), key=lambda one: one.backbone)
            assert (here.backbone, bool(here.sequence), there.status) == ("local", True, "pending")
        assert asyncio.get_running_loop().time() - started < 5
        eu.start()
        await eventually(lambda: backbones.reachable(EU))

        async def all_there() -> bool:
            return len(await streamed(eu.url, f"sb-{org}")) == 6

        await eventually(all_there)
        assert len(await streamed(nats_url, f"sb-{org}")) == 6


async def test_what_waits_is_a_dead_letter_when_its_backbone_is_gone(
    queue: RedisLogQueue, backbones: NatsBackbones, redis_url: str, store: PostgresMessageStore, server: Any, org: str
) -> None:
    [pending] = await sent(queue, backbones, "e1", org, "gone-00000001")
    assert pending.status == "pending"
    assert await waited_for(redis_url, 0) == {"gone-00000001"}
    known = {"local", "gone-00000001"}
    async with relays(redis_url, backbones, store, known):
        known.discard("gone-00000001")
        await eventually(lambda: not server.zcard(PREFIX + "pending:gone-00000001"))
        [letter] = noted(server, DeadLetter)
        assert (letter.backbone, letter.reason) == ("gone-00000001", "no-route: there is no backbone gone-00000001 any more")
    assert await waited_for(redis_url, 0) == set()


@pytest.mark.parametrize(("change", "said"), [({"domain": "hub"}, "domain"), ({"here": False}, "loopback")])
async def test_server_is_no_backbone_when_it_is_not_what_was_declared(
    backbones: NatsBackbones, eu: LocalServer, tmp_path: Path, change: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    backbones.follow(declared(eu, tmp_path, **change))
    await eventually(lambda: said in caplog.text)
    assert not backbones.reachable(EU)
    backbones.follow(declared(eu, tmp_path, domain="local"))
    await eventually(lambda: backbones.reachable(EU))


async def test_three_connections_to_redis_are_enough_when_there_are_three_hundred_backbones(
    queue: RedisLogQueue, backbones: NatsBackbones, redis_url: str, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    names = {f"away-{number:08x}" for number in range(300)}
    before = len(server.client_list())
    async with relays(redis_url, backbones, store, {"local", *names}):
        await eventually(lambda: server.exists(*(f"{PREFIX}lease:{name}" for name in names)) == 300)
        [waiting] = await sent(queue, backbones, "e1", org, min(names))
        assert waiting.status == "pending"
        queue.hold(0, "local", "a PubAck is missing")
        [held] = await sent(queue, backbones, "e2", org, "local")
        assert held.status == "pending"
        await eventually(lambda: server.hget(PREFIX + "gates", "local") is None and not server.zcard(PREFIX + "pending:local"))
        assert len(await streamed(nats_url, f"sb-{org}")) == 1
        # The watch's, the relays' one, and now and then one that looks for backbones that are gone.
        assert len(server.client_list()) - before <= 3
