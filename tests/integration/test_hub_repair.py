"""A hub that comes back with an old store, or rolls, under several shards: an agent on a leaf hears everything, and each message once."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import nats
import pytest

from infra.local.child import birth
from shared.adapters.redis.keys import shard_of
from tests.integration.running_up import RunningUp, product_up
from tests.integration.test_local_backbones import At, agent, at_of, declared, has_stream, pids, ready, subjects
from tests.waiting import eventually_now

WITHIN = 120.0
SHARDS = 3
SOURCES = [next(f"/{n}" for n in range(1_000) if shard_of("default", f"/{n}", SHARDS) == shard) for shard in range(SHARDS)]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningUp]:
    with product_up(tmp_path, {"SWITCHBOARD_LOG_SHARDS": str(SHARDS)}) as running:
        yield running


def send(client: httpx.Client, source: str, *ids: str) -> list[str]:
    """Events for all clusters' agents, in one batch; the ids. They are acknowledged: delivered, or left to the relay."""
    events = [
        {"specversion": "1.0", "id": id, "source": source, "type": "all", "subject": "agent-7", "datacontenttype": "text/plain", "data": id}
        for id in ids
    ]
    answer = client.post("/v1/events", content=json.dumps(events), headers={"content-type": "application/cloudevents-batch+json"})
    assert answer.status_code == 202, answer.text
    return list(ids)


def life_in(at: At) -> str:
    """Which life of the hub's stream the leaf's was compared with; empty while it says none."""

    async def asked() -> str:
        connection = await nats.connect(at.urls, **at.options)
        try:
            answer = await connection.request("$JS.API.STREAM.INFO.sbg-default", b"")
            found: dict[str, str] = json.loads(answer.data)["config"].get("metadata") or {}
            return next((life for name, life in found.items() if name.startswith("switchboard.life.")), "")
        finally:
            await connection.close()

    return asyncio.run(asked())


def numbered(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


@contextmanager
def hub_away(running: RunningUp, hub: str, how: signal.Signals) -> Iterator[Path]:
    """The hub's only server is ended for the time of the block, which gets the folder of its streams."""
    [pid], reconcile = pids(running, hub), running.endpoints()["processes"]["reconcile"]
    os.kill(reconcile, signal.SIGSTOP)  # it would start the server again at once
    try:
        os.kill(pid, how)
        eventually_now(lambda: birth(pid) is None, within=WITHIN)
        [streams] = (running.state / "backbones" / hub).rglob("jetstream")
        yield streams
    finally:
        os.kill(reconcile, signal.SIGCONT)


def test_leaf_goes_on_where_it_was_when_a_hub_of_three_servers_rolls(running: RunningUp) -> None:
    with running.client() as client:
        hub, leaf = declared(client, "hq", "hub", "global", replicas=3), declared(client, "eu", "main", "local")
        client.put("/v1/config/org", json={"routes": [{"when": 'message.topic == "all"', "to": ["global"]}]}).raise_for_status()
        there = {id: ready(client, id) for id in (hub, leaf)}
        at = at_of(running, there[leaf])
        eventually_now(partial(has_stream, at, "sbg-default"), within=WITHIN)

        def life() -> str:
            return life_in(at)

        before = eventually_now(life, within=WITHIN, step=0.2)
        with agent(running, there[leaf], "agent-7") as hears:
            for round, source in enumerate(SOURCES):
                sent = send(client, source, *numbered(f"round-{round}", 20))
                assert hears(20) == sent
            changed = there[hub] | {"spec": {"replicas": 3, "values": {"limits": {"maxPayload": "2MB"}}}}
            assert client.put(f"/v1/backbones/{hub}", json=changed).status_code == 202
            sent = [id for source in SOURCES for id in send(client, source, *numbered(f"meanwhile{source}", 20))]
            assert sorted(hears(60)) == sorted(sent)
            ready(client, hub)
            eventually_now(lambda: life() not in ("", before), within=WITHIN, step=0.2)  # leaders were elected
            for round, source in enumerate(SOURCES):
                sent = send(client, source, *numbered(f"after-{round}", 20))
                assert hears(20) == sent


def test_leaf_hears_all_of_it_once_when_the_hub_came_back_with_an_old_store(running: RunningUp, tmp_path: Path) -> None:
    with running.client() as client:
        hub, leaf = declared(client, "hq", "hub", "global"), declared(client, "eu", "main", "local")
        client.put("/v1/config/org", json={"routes": [{"when": 'message.topic == "all"', "to": ["global"]}]}).raise_for_status()
        there = {id: ready(client, id) for id in (hub, leaf)}
        at = {id: at_of(running, one) for id, one in there.items()}
        eventually_now(partial(has_stream, at[leaf], "sbg-default"), within=WITHIN)

        def on_both(count: int) -> bool:
            return [len(subjects(at[id], stream)) for id, stream in ((hub, "sb-default"), (leaf, "sbg-default"))] == [count, count]

        with agent(running, there[leaf], "agent-7") as hears:
            old = [id for source in SOURCES for id in send(client, source, *numbered(f"old{source}", 5))]
            eventually_now(partial(on_both, len(old)), within=WITHIN, step=0.2)
            assert sorted(hears(len(old))) == sorted(old)
            with hub_away(running, hub, signal.SIGTERM) as streams:
                shutil.copytree(streams, tmp_path / "before")
            ready(client, hub)
            lost = send(client, SOURCES[0], *numbered("lost", 20))
            eventually_now(partial(on_both, len(old) + len(lost)), within=WITHIN, step=0.2)
            assert sorted(hears(len(lost))) == sorted(lost)
            with hub_away(running, hub, signal.SIGKILL) as streams:
                shutil.rmtree(streams)
                shutil.copytree(tmp_path / "before", streams)
                # New ones wait before the hub is back. Two shards have lost nothing, and give it theirs while the third looks what it lost.
                new = [id for source in SOURCES[1:] for id in send(client, source, *numbered(f"new{source}", 30))]
            assert sorted(hears(len(new))) == sorted(new)
            last = send(client, SOURCES[0], "last")
            assert hears(1) == last  # and nothing came twice before it
        kept = subjects(at[hub], "sb-default")
        assert len(kept) == len(old) + len(lost) + len(new) + len(last)
