"""What the registry costs: a message that is resolved, and a snapshot that has a thousand backbones."""

import asyncio
import gc
import os
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import psycopg

from functions.check_constraints import handler as check_constraints
from functions.route.handler import Route
from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.nats.endpoint import endpoints_of
from shared.adapters.postgres import PostgresConfigStore, PostgresCredentials
from shared.adapters.postgres.migrations import migrate
from shared.domain.logged import Entry
from shared.domain.publishing import Outgoing, Published, PublishedGroup
from shared.domain.registry.reach import Reach
from shared.domain.registry.shapes import Access, Backbone, Cluster, Spec, encode
from shared.domain.routing import resolve
from shared.domain.rules.check import routed
from shared.domain.rules.limits import Limits
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import targets_of
from shared.snapshots import write
from shared.trust.logins import Logins
from shared.trust.sealing import MASTER, sealed
from tests.bench.figure import Figure
from tests.bench.policies import MESSAGE, PRINCIPAL, in_turn
from tests.servers import Databases, running

COUNT = 1_000
BATCH = 50  # messages, as a door has them
SECRET = b"s" * 48
LIMIT = 20.0  # MB that a snapshot may take
ROUTES = {
    "routes": [
        {"when": 'message.subject == "eu-1"', "to": ["cluster:c1"]},
        {"when": 'message.topic.startsWith("pay.")', "to": ["backbone:main-00000002"]},
        {"when": 'message.subject == "agent-7"', "to": ["cluster:c7"]},
        {"to": ["local"]},
    ]
}
ON_DATA = {"routes": [{"when": 'data.sku == "B-1"', "to": ["cluster:c1"]}, {"to": ["cluster:c7"]}]}
FIXED = {"routes": [{"to": ["backbone:main-00000007"]}]}


class Taking:
    """Backbones that take everything at once: what is measured is what comes before them."""

    def __init__(self) -> None:
        self.sequence = 0

    async def publish(self, backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        self.sequence += 1
        return PublishedGroup(backbone, f"sb-{org}", "2026-01-01T00:00:00Z", ("s",) * len(group), (Published(self.sequence),) * len(group))

    def reachable(self, backbone: str) -> bool:
        return True


class Noting(MemoryLogQueue):
    """A log that forgets what it is told."""

    def delivered(self, entries: Sequence[Entry], deliveries: object) -> None:
        pass


def backbone(number: int) -> Backbone:
    """One of a thousand, with as much said of it as people say."""
    spec = Spec(3, values={"resources": {"limits": {"cpu": "1", "memory": "2Gi"}}, "podLabels": {"team": f"team-{number}"}})
    metadata = {"region": "eu-west-1", "version": "2.12", "contact": f"team-{number}@example.org", "note": "n" * 300}
    name, cluster, scope = f"n{number}", f"c{number % 50}", "global" if number % 100 == 99 else "local"
    endpoint = f"nats://nats-{number}.eu.example:4222"
    return Backbone(f"main-{number:08x}", "acme", cluster, name, scope, endpoint, None, spec, metadata)  # type: ignore[arg-type]


async def resolved(state: Path, runs: int = 3) -> Figure:
    """CPU us a message that resolving adds, three conditions deep among a thousand backbones, over the same publish to a fixed backbone:
    the lanes with nothing behind them. `us_fixed_route` is what one route without a condition adds, `us_on_data` what one whose condition
    reads the body does: check has asked it, and tells the targets with its verdict. `us_asked` is what it costs to ask."""
    return await asyncio.to_thread(_resolved, runs)  # with a loop of its own, which it goes through call by call


def _resolved(runs: int) -> Figure:
    reach = tuple(Reach(one.id, one.org, one.cluster, one.scope, one.endpoint or "") for one in map(backbone, range(COUNT)))
    route = Route(Taking(), Noting())
    loop = asyncio.new_event_loop()
    series = [_added(loop, route, reach, document, runs) for document in (ROUTES, FIXED, ON_DATA)]
    loop.close()
    (ours, fixed), (simple, _), (on_data, _) = series
    snapshot = Snapshot(1, {}, documents={"acme": {"org": msgspec.json.encode(ON_DATA)}}, backbones=reach)
    scope = snapshot.rules.scope(MESSAGE.org, MESSAGE.topic, MESSAGE.subject)

    def ask() -> None:
        routed(MESSAGE, PRINCIPAL, scope)

    asked, nothing = in_turn(ask, lambda: None, runs)
    asking = [one - other for one, other in zip(asked, nothing, strict=True)]
    notes = {"us_publish_fixed": fixed, "us_fixed_route": simple, "us_on_data": on_data, "us_asked": asking}
    return Figure("resolve", "us a message added", ours, gate=5.0, notes=notes, below=True)


def _added(
    loop: asyncio.AbstractEventLoop, route: Route, reach: tuple[Reach, ...], document: object, runs: int
) -> tuple[list[float], list[float]]:
    """What resolving adds under a document, and what publishing costs without."""
    snapshot = Snapshot(1, {}, documents={"acme": {"org": msgspec.json.encode(document)}}, backbones=reach)
    target = resolve(MESSAGE, PRINCIPAL, snapshot).backbones
    if target not in (("main-00000007",), tuple(one.id for one in reach if one.cluster == "c7" and one.scope == "local")):
        raise RuntimeError(f"it is resolved to {target}")

    def publish(targets: Sequence[tuple[str, ...]]) -> None:
        entries = [Entry("new", MESSAGE, each[:1], 1, 0, 1, index) for index, each in enumerate(targets)]  # one delivery for each message
        loop.run_until_complete(_sent(route, entries))

    to = targets_of(check_constraints.verdict(MESSAGE, PRINCIPAL, snapshot, Limits(), 0.0))

    def with_resolve() -> None:
        publish([resolve(MESSAGE, PRINCIPAL, snapshot, to).backbones for _ in range(BATCH)])

    ours, fixed = in_turn(with_resolve, lambda: publish([target] * BATCH), runs)
    return [(one - other) / BATCH for one, other in zip(ours, fixed, strict=True)], [each / BATCH for each in fixed]


async def _sent(route: Route, entries: Sequence[Entry]) -> None:
    await route.handle(entries).deliveries()


async def reloaded(state: Path, runs: int = 5) -> Figure:
    """Milliseconds of CPU in which a process has a new snapshot in force, a thousand backbones with keys in the registry: read, compiled,
    kept on the disk, endpoints and logins made. `MB` is what one takes in memory, `wall_ms` the time with the database's, `ms_first` what
    it costs a process that hasn't opened any of the keys yet."""
    with running("database", state) as server:
        databases = Databases(server.url)
        url = databases.url_of(databases.create())
        migrate(url)
        _declare(url)
        await _give_keys(url)
        store, logins = PostgresConfigStore(url), Logins((SECRET,))
        cpu = time.process_time()
        await _reload(store, state, logins)
        first = (time.process_time() - cpu) * 1e3
        spent, walls = [], []
        for _ in range(runs):
            cpu, wall = time.process_time(), time.perf_counter()
            await _reload(store, state, logins)
            spent.append((time.process_time() - cpu) * 1e3)
            walls.append((time.perf_counter() - wall) * 1e3)
        taken = await _memory(lambda: _reload(store, state, logins))
        await store.stop()
    if taken > LIMIT:
        raise RuntimeError(f"a snapshot of {COUNT} backbones takes {taken:.1f} MB, and {LIMIT} are allowed")
    notes = {"wall_ms": walls, "MB": [taken], "ms_first": [first]}
    return Figure("registry", f"ms to reload {COUNT} backbones", spent, gate=200.0, notes=notes, below=True)


def _declare(url: str) -> None:
    cluster = Cluster("", "acme", "", "helm", Access(kubeconfig_secret="acme.x"), {})
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE config_state SET revision = revision + 1")
        for number in range(50):
            text = encode(msgspec.structs.replace(cluster, name=f"c{number}")).decode()
            connection.execute("SELECT keep_version('cluster', 'acme', %s, %s)", (f"clusters/c{number}", text))
        for one in map(backbone, range(COUNT)):
            connection.execute("SELECT keep_version('backbone', 'acme', %s, %s)", (f"backbones/{one.id}", encode(one).decode()))


async def _give_keys(url: str) -> None:
    """Keys for each of them, as they are made when one is declared."""
    credentials = PostgresCredentials(url)
    for one in map(backbone, range(COUNT)):
        await credentials.keep_keys(one.id, sealed(one.id, os.urandom(MASTER), SECRET), None)
    await credentials.stop()


async def _reload(store: PostgresConfigStore, state: Path, logins: Logins) -> Snapshot:
    snapshot = await store.snapshot()
    if len(snapshot.backbones) != COUNT or snapshot.targets.of("acme", "backbone:main-00000001") != ("main-00000001",):
        raise RuntimeError("the snapshot hasn't what was declared")
    write(state / "snapshot", snapshot)
    endpoints = endpoints_of(snapshot.backbones, None, logins.of)
    if not all(each.credentials for each in endpoints.values()):
        raise RuntimeError("a backbone can't be signed in to")
    return snapshot


async def _memory(make: Callable[[], Awaitable[Snapshot]]) -> float:
    """MB that what it makes takes, itself and all that it has compiled."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    made = await make()
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del made
    return taken / 1e6
