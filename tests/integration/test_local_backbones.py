"""Backbones of a laptop, from `switchboard up` to the last file: declared, joined, used, killed, changed, and taken away again."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import httpx
import nats
import nats.errors
import pytest

from infra.local.child import birth
from shared.adapters.nats.signing_in import options_of
from shared.domain.registry.login import read_login
from tests.integration.running_up import RunningUp, product_up
from tests.waiting import eventually_now

WITHIN = 60.0  # seconds: helm may have to be built, and others work on this machine


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    """A `switchboard up` of the module's own."""
    with product_up(tmp_path_factory.mktemp("laptop")) as running:
        yield running


@pytest.fixture(scope="module")
def client(running: RunningUp) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client


def declared(client: httpx.Client, cluster: str, name: str, scope: str, **spec: Any) -> str:
    """The id of a new shared backbone, in a cluster of this machine that is made where it is missing."""
    client.put(f"/v1/clusters/{cluster}", json={"provider": "local", "org": None}).raise_for_status()
    body = {"org": None, "cluster": cluster, "name": name, "scope": scope, "spec": spec}
    answer = client.post("/v1/backbones", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def shown(client: httpx.Client, id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/backbones/{id}").raise_for_status().json()
    return found


def condition(backbone: dict[str, Any], type: str) -> dict[str, Any]:
    return next((one for one in backbone["status"]["conditions"] if one["type"] == type), {})


def ready(client: httpx.Client, id: str) -> dict[str, Any]:
    """The backbone, once it runs as it is declared and answers."""

    def settled() -> dict[str, Any] | None:
        backbone = shown(client, id)
        current = backbone["status"]["observed_generation"] == backbone["generation"] and backbone["endpoint"] is not None
        there = all(condition(backbone, type).get("status") == "True" for type in ("Ready", "Reachable"))
        return backbone if current and there else None

    try:
        return eventually_now(settled, within=WITHIN) or {}
    except AssertionError as error:
        raise AssertionError(shown(client, id)) from error


def pids(running: RunningUp, id: str) -> list[int]:
    """The servers' processes."""
    return [int(json.loads(note.read_text())["pid"]) for note in sorted((running.state / "backbones" / "run").glob(f"{id}-*.json"))]


class At(NamedTuple):
    """Where a backbone is, and how Switchboard's own processes sign in."""

    urls: list[str]
    options: dict[str, Any]


def at_of(running: RunningUp, backbone: dict[str, Any]) -> At:
    login = (running.state / "backbones" / "credentials" / backbone["id"]).read_text()
    return At(backbone["endpoint"].split(","), options_of(read_login(login)))


def subjects(at: At, stream: str) -> list[str]:
    """The subjects on a stream, in order."""

    async def asked() -> list[str]:
        connection = await nats.connect(at.urls, **at.options)
        try:
            manager = connection.jsm()
            state = (await manager.stream_info(stream)).state
            numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
            return [str((await manager.get_msg(stream, number)).subject) for number in numbers]
        finally:
            await connection.close()

    return asyncio.run(asked())


def has_stream(at: At, stream: str) -> bool:
    async def asked() -> bool:
        connection = await nats.connect(at.urls, **at.options)
        try:
            await connection.jsm().stream_info(stream)
        except nats.errors.Error:  # not there yet, or the server is just being joined to its hub
            return False
        finally:
            await connection.close()
        return True

    return asyncio.run(asked())


def payload_and_copies(at: At) -> tuple[int, int | None, int]:
    """The largest payload that the servers take; how many copies the org's stream is to have, and how many it has beside the leader's."""

    async def asked() -> tuple[int, int | None, int]:
        connection = await nats.connect(at.urls, **at.options)
        try:
            info = await connection.jsm().stream_info("sb-default")
            replicas = info.cluster.replicas if info.cluster else None
            return connection.max_payload, info.config.num_replicas, len(replicas or [])
        finally:
            await connection.close()

    return asyncio.run(asked())


def sent(client: httpx.Client, id: str, subject: str, topic: str = "order.made") -> bool:
    """Whether a message was delivered at once, and not left to the relay."""
    headers = {"ce-specversion": "1.0", "ce-id": id, "ce-source": "/test", "ce-type": topic, "ce-subject": subject}
    answer = client.post("/v1/events", headers=headers | {"content-type": "application/json"}, content=b'{"a":1}')
    assert answer.status_code == 202, answer.text
    return any(one.get("sequence") for one in answer.json()["deliveries"])


@contextmanager
def agent(running: RunningUp, backbone: dict[str, Any], subject: str, *options: str) -> Iterator[Callable[[int], list[str]]]:
    """An agent that listens on a backbone of its own cluster, once it does: what gives the ids of the next events that it receives."""
    login = running.state / "backbones" / "credentials" / backbone["id"]
    arguments = (
        "listen",
        "--org",
        "default",
        "--subject",
        subject,
        "--durable",
        "agent",
        "--credentials",
        str(login),
        "-o",
        "json",
        *options,
    )
    environment = {"SWITCHBOARD_STATE_DIR": str(running.state), "SWITCHBOARD_NATS_URL": backbone["endpoint"]}
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.cli.main", *arguments], env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout, process.stderr
    try:
        announced = err.readline().decode()
        assert announced.startswith("listening on sb.default."), announced
        yield lambda count: [json.loads(out.readline())["id"] for _ in range(count)]
    finally:
        process.kill()
        process.communicate()


def is_gone(client: httpx.Client, id: str) -> bool:
    return client.get(f"/v1/backbones/{id}").status_code == 404


def test_global_message_is_in_every_cluster_once_and_a_local_one_stays_when_a_hub_has_two_leaves(
    running: RunningUp, client: httpx.Client
) -> None:
    hub = declared(client, "hq", "hub", "global")
    eu, us = declared(client, "eu", "main", "local"), declared(client, "us", "main", "local")
    routes = [{"when": f'message.subject == "{name}-1"', "to": [f"cluster:{name}"]} for name in ("eu", "us")]
    routes.append({"when": 'message.subject == "all"', "to": ["global"]})
    client.put("/v1/config/org", json={"routes": routes}).raise_for_status()
    at = {id: at_of(running, ready(client, id)) for id in (hub, eu, us)}
    for id in (eu, us):  # a leaf runs before it knows where its hub takes leaves, and is joined to it a moment later
        eventually_now(partial(has_stream, at[id], "sbg-default"), within=WITHIN)

    for number, subject in enumerate(("eu-1", "us-1", "all")):
        assert eventually_now(partial(sent, client, f"m{number}", subject), within=WITHIN)
    for name, id in (("eu", eu), ("us", us)):
        assert eventually_now(partial(subjects, at[id], "sbg-default"), within=WITHIN) == ["sbg.default.all.order.made"]
        assert subjects(at[id], "sb-default") == [f"sb.default.{name}-1.order.made"]
    assert subjects(at[hub], "sb-default") == ["sb.default.all.order.made"]

    # One that is killed comes back, with what it had, and says that it was away.
    [pid] = pids(running, eu)
    os.kill(pid, signal.SIGKILL)
    eventually_now(lambda: "-9" in condition(shown(client, eu), "Drifted").get("message", ""), within=WITHIN)
    ready(client, eu)
    assert pids(running, eu) != [pid]
    assert eventually_now(partial(sent, client, "m3", "all"), within=WITHIN)
    assert eventually_now(partial(sent, client, "m4", "eu-1"), within=WITHIN)
    eventually_now(lambda: len(subjects(at[eu], "sbg-default")) == 2, within=WITHIN)
    assert subjects(at[eu], "sb-default") == ["sb.default.eu-1.order.made"] * 2
    assert "backbone.repaired" in [one["action"] for one in client.get(f"/v1/backbones/{eu}/events").json()["items"]]

    # All of it goes, and nothing is left.
    servers = [pid for id in at for pid in pids(running, id)]
    assert len(servers) == 3
    client.put("/v1/config/org", json={}).raise_for_status()
    for id in at:
        assert client.delete(f"/v1/backbones/{id}").status_code == 202
    for id in at:
        eventually_now(partial(is_gone, client, id), within=WITHIN)
    for id in at:  # looked at when all are gone: a folder that is being removed can't be walked
        assert not list((running.state / "backbones").rglob(f"*{id}*"))
        assert client.get(f"/v1/backbones/{id}/events").json()["items"][0]["action"] == "backbone.forget"
    assert [birth(pid) for pid in servers] == [None] * 3
    for name in ("hq", "eu", "us"):
        assert client.delete(f"/v1/clusters/{name}").status_code == 204


def test_agents_of_all_clusters_hear_what_is_for_global_once_and_only_their_own_clusters_local_messages(
    running: RunningUp, client: httpx.Client
) -> None:
    hub = declared(client, "top", "hub", "global")
    places = {"east": declared(client, "east", "main", "local"), "west": declared(client, "west", "main", "local")}
    routes = [{"when": f'message.topic == "{name}"', "to": [f"cluster:{name}"]} for name in places]
    client.put("/v1/config/org", json={"routes": [*routes, {"when": 'message.topic == "all"', "to": ["global"]}]}).raise_for_status()
    backbones = {name: ready(client, id) for name, id in {"top": hub, **places}.items()}
    for name in places:  # the streams are there: agents listen to them from the beginning
        eventually_now(partial(has_stream, at_of(running, backbones[name]), "sbg-default"), within=WITHIN)
    told = client.get("/v1/resolve", params={"topic": "all", "subject": "agent-7"}).raise_for_status().json()["backbones"]
    heard_at = {(one["backbone"], one["stream"]) for place in told for one in (place, *place["leaves"])}
    assert heard_at == {(hub, "sb-default"), *((id, "sbg-default") for id in places.values())}

    with ExitStack() as agents:
        hears = {name: agents.enter_context(agent(running, backbone, "agent-7")) for name, backbone in backbones.items()}
        for id, topic in (("g1", "all"), ("e1", "east"), ("w1", "west"), ("g2", "all")):
            eventually_now(partial(sent, client, id, "agent-7", topic), within=WITHIN)
        assert hears["top"](2) == ["g1", "g2"]
        # What came by another way than its own would be among the first: the local message and the last global one are behind it.
        for name, local in (("east", "e1"), ("west", "w1")):
            ids = hears[name](3)
            assert sorted(ids) == sorted(["g1", local, "g2"])
            assert ids.index("g1") < ids.index("g2")
    with agent(running, backbones["east"], "agent-7") as hears_on:  # the same durable consumers, of both streams
        eventually_now(partial(sent, client, "g3", "agent-7", "all"), within=WITHIN)
        assert hears_on(1) == ["g3"]

    client.put("/v1/config/org", json={}).raise_for_status()
    for name, id in (("top", hub), *places.items()):
        assert client.delete(f"/v1/backbones/{id}").status_code == 202
        eventually_now(partial(is_gone, client, id), within=WITHIN)
        client.delete(f"/v1/clusters/{name}").raise_for_status()


def test_three_servers_are_one_cluster_and_roll_when_their_spec_changes(running: RunningUp, client: httpx.Client) -> None:
    id = declared(client, "trio", "main", "local", replicas=3)
    first = ready(client, id)
    assert (first["status"]["servers"], len(first["endpoint"].split(","))) == (3, 3)
    assert payload_and_copies(at_of(running, first)) == (4 * 1024**2, 3, 2)
    before = pids(running, id)
    changed = client.put(f"/v1/backbones/{id}", json=first | {"spec": {"replicas": 3, "values": {"limits": {"maxPayload": "2MB"}}}})
    assert (changed.status_code, changed.json()["endpoint"]) == (202, first["endpoint"])
    ready(client, id)
    assert shown(client, id)["status"]["observed_generation"] == 2
    assert not set(before) & set(pids(running, id))
    assert payload_and_copies(at_of(running, first)) == (2 * 1024**2, 3, 2)
    assert client.delete(f"/v1/backbones/{id}").status_code == 202
    eventually_now(partial(is_gone, client, id), within=WITHIN)
    client.delete("/v1/clusters/trio").raise_for_status()


def switchboard(running: RunningUp, *arguments: str, exits: int = 0) -> subprocess.CompletedProcess[str]:
    command, environment = [sys.executable, "-m", "infra.cli.main", *arguments], {"SWITCHBOARD_STATE_DIR": str(running.state)}
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == exits, done.stdout + done.stderr
    return done


def test_commands_declare_watch_and_take_down_when_a_person_uses_them(running: RunningUp) -> None:
    def said(*arguments: str) -> str:
        return switchboard(running, *arguments).stdout

    said("cluster", "add", "shop", "--local", "--region", "here")
    assert "shop" in [row["name"] for row in json.loads(said("cluster", "ls", "-o", "json"))]
    id, *lines = said("backbone", "add", "main", "--cluster", "shop", "--size", "1Gi", "--watch").splitlines()
    assert "Ready True: 1 of 1 servers is up" in lines[-1]
    [row] = json.loads(said("backbone", "ls", "--cluster", "shop", "-o", "json"))
    assert (row["id"], row["org"], row["spec"]["jetstream"]["size"]) == (id, "default", "1Gi")
    assert "generation 2 of 2" in said("backbone", "update", id, "--size", "2Gi", "--reason", "it grows", "--watch").splitlines()[-1]
    assert "/spec/expose" in switchboard(running, "backbone", "update", id, "--expose", "Nowhere", exits=76).stderr
    assert "add" in said("backbone", "events", id, "-o", "json")
    assert said("backbone", "rm", id, "--watch").splitlines()[-1] == f"{id} is gone"
    said("cluster", "rm", "shop")
    switchboard(running, "backbone", "events", "never-was", exits=66)
