"""Servers by the chart's own nats.conf, a backbone's tokens in it: they let in Switchboard's processes, an edge's, and nobody else."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nats.errors import Error
from nats.js import JetStreamContext

from functions.reconcile_backbones.revoking import AGAIN_S, Revoking
from infra.local.child import Program
from infra.local.nats import binary, healthy
from infra.local.server import Server, listens
from infra.local.state import State
from shared.adapters.helm.trusted import values_of
from shared.adapters.nats.accounts import NatsAccounts
from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.nats.endpoint import Endpoint, endpoints_of
from shared.adapters.postgres import PostgresCredentials
from shared.domain.publishing import Outgoing
from shared.domain.registry.deploying import Deployment, Hub, Trust
from shared.domain.registry.login import Login
from shared.domain.registry.reach import Reach
from shared.domain.registry.shapes import SHARED, Access, Cluster, Spec
from shared.domain.snapshot import Snapshot
from shared.trust.backbone import BackboneTrust
from shared.trust.keeping import KeptTrusts
from shared.trust.logins import Logins, edge_user
from shared.trust.sealing import sealed
from tests.charts.rendering import one, render
from tests.events import accepted
from tests.servers import LocalServer
from tests.waiting import eventually

EU = Cluster("eu", SHARED, "", "helm", Access(in_cluster=True), {})
HUB, LEAF = "hubs-0badcafe", "leaf-0badcafe"
INSTALL, EDGE, MORE, OTHER = (letter * 48 for letter in (b"i", b"e", b"m", b"o"))
MASTERS = {HUB: os.urandom(32), LEAF: os.urandom(32)}
TRUSTS = {id: BackboneTrust(id, master) for id, master in MASTERS.items()}
WITHIN = 30.0
PORTS = ("client", "monitor", "route", "leaf")


def prepared(deployment: Deployment, state: State) -> Server:
    """A server of the deployment's values, as the chart's pod would run it."""
    home = state.folder(deployment.id)
    values = values_of(deployment) | {"local": {"configDir": str(home), "routes": []}}
    conf = one(render(values | {"fullnameOverride": deployment.id}), "ConfigMap", deployment.id)["data"]["nats.conf"]
    (home / "nats.conf").write_text(conf)
    for number, hub in enumerate(hub for hub in deployment.hubs if hub.id in deployment.trust.hubs):
        (state.folder(deployment.id, "remotes", str(number)) / "creds").write_text(deployment.trust.hubs[hub.id].file())
    ports = {name: state.port(f"{deployment.id}-{name}") for name in PORTS}
    environment = {f"{name.upper()}_LISTEN": f'"127.0.0.1:{port}"' for name, port in ports.items()}
    environment |= {"SERVER_NAME": deployment.id, "STORE_DIR": f'"{home}/data"', "RESOLVER_DIR": f'"{home}/data/accounts"'}
    program = Program(
        name=deployment.id,
        command=(str(binary()), "-c", str(home / "nats.conf")),
        directory=home,
        log=state.log(deployment.id),
        ready=lambda: listens(ports["client"]) and healthy(ports["monitor"]),
        environment=environment,
    )
    return Server(program, f"nats://127.0.0.1:{ports['client']}")


def deployment(id: str, **more: Any) -> Deployment:
    values: dict[str, Any] = {"jetstream": {"domain": id}} | ({"leafnodes": {"enabled": True}} if id == HUB else {})
    return Deployment(id, EU, Spec(), values, trust=Trust(TRUSTS[id].server))._replace(**more)


@contextmanager
def served(wanted: Deployment, folder: Path) -> Iterator[LocalServer]:
    server = LocalServer(partial(prepared, wanted), folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with served(deployment(HUB), tmp_path_factory.mktemp("hub")) as server:
        yield server


def reach(server: LocalServer, id: str = HUB) -> Reach:
    """The backbone as a snapshot of the hub's has it."""
    return Reach(id, SHARED, "eu", "local", server.url, id, here=True, keys=sealed(id, MASTERS[id], INSTALL))


async def told(server: LocalServer, *edges: bytes) -> None:
    """The servers let these edges in, and no others."""
    accounts, now = NatsAccounts("test"), int(time.time())
    try:
        token = TRUSTS[HUB].account_token({}, now, [edge_user(HUB, key).public for key in edges])
        assert await accounts.connect(reach(server), TRUSTS[HUB].system_login(now)) == ""
        assert await accounts.tell(HUB, token) == ""
    finally:
        await accounts.stop()


def doors_of(server: LocalServer, key: bytes) -> NatsBackbones:
    """The connections of a process that has this key: the install's, or an edge's own."""
    known = [reach(server)] if key == INSTALL else Logins((INSTALL,)).for_edge([reach(server)], key)
    doors = NatsBackbones({}, timeout=30)
    doors.follow(endpoints_of(known, None, Logins((key,)).of))
    return doors


async def published(server: LocalServer, endpoints: dict[str, Endpoint], event: str) -> int:
    """The sequence that a message has on it, by a door's own way there."""
    doors = NatsBackbones({}, timeout=30)
    await doors.start()
    try:
        doors.follow(endpoints)
        [id] = endpoints
        await eventually(lambda: doors.reachable(id), within=WITHIN)
        return (await doors.publish(id, "acme", [Outgoing(accepted(event, org="acme").message, 1)])).results[0].sequence
    finally:
        await doors.stop()


async def test_processes_are_let_in_with_the_secret_and_an_edge_s_with_its_own_when_servers_have_the_charts_configuration(
    hub: LocalServer,
) -> None:
    process = Logins((INSTALL,))
    assert await published(hub, endpoints_of([reach(hub)], None, process.of), "of-the-hub") == 1
    await told(hub, EDGE)
    own = process.for_edge([reach(hub)], EDGE)
    assert await published(hub, endpoints_of(own, None, Logins((EDGE,)).of), "of-an-edge") == 2


async def test_edge_is_disconnected_and_let_in_no_more_when_its_key_is_forgotten(hub: LocalServer) -> None:
    edge, more, process = doors_of(hub, EDGE), doors_of(hub, MORE), doors_of(hub, INSTALL)
    try:
        await told(hub, EDGE, MORE)
        await eventually(lambda: all(doors.reachable(HUB) for doors in (edge, more, process)), within=WITHIN)
        stays = [doors._links[HUB].connection for doors in (more, process)]
        await told(hub, MORE)
        await eventually(lambda: not edge.reachable(HUB), within=WITHIN)
        await eventually(partial(is_refused, edge), within=WITHIN)
        assert [doors._links[HUB].connection for doors in (more, process)] == stays
        assert all(connection is not None and connection.live for connection in stays)
        await told(hub, EDGE, MORE)
        await eventually(lambda: edge.reachable(HUB), within=WITHIN)
    finally:
        for doors in (edge, more, process):
            await doors.stop()


async def test_servers_are_put_right_within_a_minute_when_they_have_an_older_token_again(hub: LocalServer, database: str) -> None:
    """As a server of several has that came back with an old store, while the connection is to another one."""
    store, accounts, passed = PostgresCredentials(database), NatsAccounts("test"), [0.0]
    edge = doors_of(hub, EDGE)
    try:
        await store.keep_keys(HUB, sealed(HUB, MASTERS[HUB], INSTALL), None)
        revoking = Revoking(store, KeptTrusts(store, (INSTALL,)), accounts, lambda: (EDGE,), lambda: passed[0])
        snapshot, now = Snapshot(1, {}, backbones=(reach(hub),)), int(time.time())

        async def let_in() -> bool:
            await revoking.step(snapshot, (HUB,), now)
            return edge.reachable(HUB)

        await eventually(let_in, within=WITHIN)
        await told(hub)
        await eventually(lambda: not edge.reachable(HUB), within=WITHIN)
        await eventually(partial(is_refused, edge), within=WITHIN)
        passed[0] = AGAIN_S
        await eventually(let_in, within=WITHIN)
        await revoking.stop()
    finally:
        await edge.stop()
        await accounts.stop()
        await store.stop()


async def test_nobody_else_is_let_in(hub: LocalServer) -> None:
    await told(hub, EDGE)
    own = Logins((INSTALL,)).for_edge([reach(hub)], EDGE)
    unnamed = Logins((INSTALL,)).for_edge([reach(hub)], OTHER)
    forged = TRUSTS[LEAF].login("switchboard")
    for endpoints in (
        endpoints_of([reach(hub)], None),
        endpoints_of([reach(hub)], None, Logins((OTHER,)).of),
        endpoints_of(own, None, Logins((OTHER,)).of),
        endpoints_of(unnamed, None, Logins((OTHER,)).of),
        endpoints_of([reach(hub)], None, lambda one: forged.file()),
        endpoints_of([reach(hub)], None, lambda one: Login(own[0].token, forged.seed).file()),
    ):
        doors = NatsBackbones({}, timeout=30)
        doors.follow(endpoints)
        try:
            await eventually(partial(is_refused, doors), within=WITHIN)
            assert not doors.reachable(HUB)
        finally:
            await doors.stop()


def is_refused(doors: NatsBackbones) -> bool:
    return "authorization" in doors._links[HUB].refused.lower()


async def test_leaf_is_joined_by_the_login_that_its_hub_gave_it(hub: LocalServer, tmp_path: Path) -> None:
    with ExitStack() as stack:
        port = hub.server.program.environment["LEAF_LISTEN"].strip('"')
        joined = {"urls": [f"nats-leaf://{port}"]}
        values = {"jetstream": {"domain": LEAF}, "leafnodes": {"remotes": [joined]}}
        hubs = (Hub(HUB, HUB, tuple(joined["urls"])),)
        trust = Trust(TRUSTS[LEAF].server, hubs={HUB: TRUSTS[HUB].login(LEAF)})
        leaf = stack.enter_context(served(deployment(LEAF, values=values, hubs=hubs, trust=trust), tmp_path))
        process = Logins((INSTALL,))
        await published(hub, endpoints_of([reach(hub)], None, process.of), "for-leaves")
        doors = NatsBackbones({}, timeout=30)
        doors.follow(endpoints_of([reach(leaf, LEAF)], None, process.of))
        try:
            await eventually(lambda: doors.reachable(LEAF), within=WITHIN)
            connection = doors._links[LEAF].connection
            assert connection is not None
            jetstream = connection.jetstream(domain=HUB)
            assert await eventually(partial(messages, jetstream), within=WITHIN) > 0
        finally:
            await doors.stop()


async def messages(jetstream: JetStreamContext) -> int:
    """How many the hub's stream has, asked through the leaf; none while it isn't joined yet."""
    try:
        return (await jetstream.stream_info("sb-acme")).state.messages
    except Error:
        return 0
