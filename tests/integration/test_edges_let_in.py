"""Edges with keys of their own at a backbone of the registry: from the hub's folder of keys to the servers, and out again."""

import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from shared.adapters.hub import HubCalls, HubConfig
from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.nats.endpoint import endpoints_of
from shared.domain.registry.reach import Reach
from shared.trust.logins import Logins
from tests.integration.running_up import RunningUp, product_up
from tests.integration.test_local_backbones import declared, ready
from tests.waiting import eventually

WITHIN = 60.0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningUp]:
    """A `switchboard up` that two edges have keys of their own at."""
    folder = tmp_path / "edges"
    folder.mkdir()
    for edge in ("eu-1", "us-1"):
        (folder / edge).write_text(secrets.token_hex(24))
    with product_up(tmp_path, {"SWITCHBOARD_EDGE_KEYS": str(folder)}) as running:
        yield running


async def told(running: RunningUp, id: str, key: bytes) -> Reach | None:
    """The backbone as the hub tells an edge of it; None as long as it doesn't tell how it is reached: its snapshot may be a moment old."""
    calls = HubCalls(running.endpoints()["http"], (key,))
    await calls.start()
    try:
        found = (await HubConfig(calls, "local").snapshot()).reach(id)
        return found if found is not None and endpoints_of([found], None, Logins((key,)).of) else None
    finally:
        await calls.stop()


def doors_of(reach: Reach, key: bytes) -> NatsBackbones:
    doors = NatsBackbones({}, timeout=30)
    doors.follow(endpoints_of([reach], None, Logins((key,)).of))
    return doors


async def test_edge_loses_its_connection_and_others_keep_theirs_when_the_hub_forgets_its_key(running: RunningUp, tmp_path: Path) -> None:
    files = {edge: tmp_path / "edges" / edge for edge in ("eu-1", "us-1")}
    keys = {edge: file.read_text().encode() for edge, file in files.items()}
    with running.client() as client:
        id = declared(client, "edges", "main", "local")
        ready(client, id)
    doors = {}
    for edge, key in keys.items():
        reach = await eventually(partial(told, running, id, key))
        assert reach is not None
        doors[edge] = doors_of(reach, key)
    try:
        await eventually(lambda: all(one.reachable(id) for one in doors.values()), within=WITHIN)
        stays = doors["us-1"]._links[id].connection
        files["eu-1"].unlink()
        await eventually(lambda: "authorization" in doors["eu-1"]._links[id].refused.lower(), within=WITHIN)
        assert not doors["eu-1"].reachable(id)
        assert doors["us-1"]._links[id].connection is stays
        assert doors["us-1"].reachable(id)
        files["eu-1"].write_bytes(keys["eu-1"])  # it is one of the hub's again
        await eventually(partial(doors["eu-1"].reachable, id), within=WITHIN)
    finally:
        for one in doors.values():
            await one.stop()
