"""A hub and its edge in two namespaces: what the edge takes the hub shows, what the hub says holds at the edge, and the edge without it."""

import json
import secrets
import statistics
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
import redis

from shared.adapters.redis.keys import prefix
from tests.cluster.clients import Clients
from tests.cluster.conftest import Took
from tests.cluster.edge import EDGE, HUB, NAME, Edge, event
from tests.cluster.install import LOOK, SERVICES, Install, run
from tests.cluster.loading import account, load
from tests.feed import reading
from tests.waiting import eventually, eventually_now

STRUCTURED = {"content-type": "application/cloudevents+json"}
ROUNDS = 6
AWAY = ["config", "hub"]  # what an edge's process says while its hub is
ACKED = 60  # in each part of the time without a hub
TAKEN_AWAY = ("config-crud", "log-batch")  # Services of the hub
STOPPED = {"deployment/gateway": 0, "deployment/websocket": 0, "statefulset/postgres": 0}


@pytest.fixture(scope="module")
def edge(install: Install, took: Took, pytestconfig: pytest.Config) -> Iterator[Edge]:
    """The edge, and `install` its hub."""
    install.has(HUB)
    one, given = Edge(install), pytestconfig.getoption("--deployed")
    if given and one.is_there():
        one.deploy(EDGE)
    else:
        took("deploy of an edge from nothing", f"{one.from_nothing().seconds:.1f} s")
    yield one
    if not given:
        done = one.undeploy()
        assert done.status == 0, done.said


def post(client: httpx.Client, id: str, **changes: Any) -> httpx.Response:
    return client.post("/v1/events", json=event(id, **changes), headers=STRUCTURED)


def test_deploy_of_an_edge_changes_nothing_again_and_doctor_finds_its_hub(edge: Edge) -> None:
    before = edge.generations()
    assert "nothing to change" in edge.deploy(EDGE).said
    assert edge.generations() == before
    assert sorted(edge.revisions()) == ["check-constraints", "ingest", "route"]
    done = run(*edge.command(("doctor", "--cluster", EDGE, "--output", "json")))
    assert done.status == 0, done.out + done.said
    rows = {row["check"]: row["status"] for row in json.loads(done.out)}
    assert rows["hub"] == "ok"
    assert not {"TimescaleDB", "migrations"} & rows.keys(), "an edge has no database"


def test_gateway_of_an_edge_has_what_is_there_and_nothing_of_the_hub_s(edge: Edge) -> None:
    with edge.client() as client:
        assert client.get("/").status_code == 200
        for method, path in (("PUT", "/v1/config/org"), ("POST", "/v1/replays"), ("POST", "/v1/log/batches"), ("GET", "/v1/messages")):
            assert client.request(method, path).status_code == 404, path


async def test_message_of_an_edge_is_in_the_hub_s_query_and_on_its_feed_when_it_was_accepted(edge: Edge, org: str, took: Took) -> None:
    key = edge.new_key("both", org, "action=publish", "action=read")
    seconds = []
    headers = {**STRUCTURED, "authorization": f"Bearer {key}"}
    async with reading(edge.hub, key) as feed, httpx.AsyncClient(base_url=edge.url, headers=headers, timeout=60) as door:
        for number in range(ROUNDS):
            answer = await door.post("/v1/events", json=event(f"shown-{number}", subject="agent-7"))
            acked = time.monotonic()
            assert answer.status_code == 202, answer.text
            assert [each["backbone"] for each in answer.json()["deliveries"]] == [NAME]
            await feed.until(number + 1, within=60)
            seconds.append(time.monotonic() - acked)
        assert feed.events == [f"shown-{number}" for number in range(ROUNDS)]
    took("ack at an edge to its hub's feed", f"median {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s")
    with edge.hub.client(key) as client:

        def deliveries() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = client.get(f"/v1/messages/{answer.json()['id']}").json().get("deliveries", [])
            return found

        assert [one["backbone"] for one in eventually_now(deliveries, within=60)] == [NAME]
        listed = client.get("/v1/messages", params={"subject": "agent-7", "topic": "edge.test"}).json()["items"]
    assert [one["event_id"] for one in listed] == [f"shown-{number}" for number in reversed(range(ROUNDS))]


def test_change_at_the_hub_is_in_force_at_the_edge_and_a_revoked_key_is_none(edge: Edge, org: str, took: Took) -> None:
    key = edge.new_key("shop", org, "action=publish")
    seconds = []
    with edge.hub.client() as hub, edge.client(key) as door:
        for number in range(ROUNDS):
            limit, wanted = (4, 413) if number % 2 == 0 else (1000, 202)
            put = hub.put("/v1/config/org", params={"org": org}, json={"max_bytes": limit})
            assert put.is_success, put.text
            answer, took_s = until(partial(sent, door, wanted))
            assert answer.json()["config_revision"] == int(put.headers["etag"].strip('"'))
            seconds.append(took_s)
        keys = hub.get("/v1/config/principals/shop/keys", params={"org": org}).json()["items"]
        assert len(keys) == 1
        assert hub.delete(f"/v1/config/principals/shop/keys/{keys[0]['id']}", params={"org": org}).is_success
        seconds.append(until(lambda: sent(door, 401))[1])
    took("a change at the hub to in force at its edge", f"median {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s")


def sent(door: httpx.Client, wanted: int) -> httpx.Response | None:
    """The answer to a new event, if it has this status."""
    answer = post(door, secrets.token_hex(8), data="12345678")
    return answer if answer.status_code == wanted else None


def until(ask: Any) -> tuple[httpx.Response, float]:
    """The first answer, and after how many seconds it was there."""
    began = time.monotonic()
    answer: httpx.Response = eventually_now(ask, within=30)
    return answer, time.monotonic() - began


async def test_edge_goes_on_without_its_hub_and_nothing_is_lost_or_twice_when_the_hub_is_back(
    edge: Edge, clients: Clients, org: str, took: Took
) -> None:
    hub = edge.hub
    key = edge.new_key("load", org, "action=publish", "action=read")
    async with reading(hub, key) as feed:
        cursor = feed.cursor
    with load(clients, key, "away", rate=20, retry=True, namespace=edge.cluster.namespace) as running:
        running.reaches(ACKED)
        began = time.monotonic()
        take_away(hub)
        eventually_now(lambda: {*AWAY, "log-batch"} <= set(edge.degraded("logger")), within=120, step=LOOK)
        running.reaches(running.acked + ACKED)
        edge.kill("ingest")  # the next one has a new disk
        running.reaches(running.acked + ACKED)
        edge.kill("logger")
        running.reaches(running.acked + ACKED)
        waiting = queued(edge)
        assert waiting > 0
        back = hub.deploy(HUB)
        away = time.monotonic() - began
        running.reaches(running.acked + ACKED)
    outcome = running.outcome
    await account(hub, org, outcome, streams=edge)
    eventually_now(lambda: queued(edge) == 0, within=60)
    eventually_now(lambda: edge.degraded("logger") == [], within=60, step=LOOK)
    took("an edge without its hub", f"{away:.0f} s, {waiting} flushes waited; {outcome['sent']} acked, none lost or twice")
    took("deploy of a hub whose Services and store were away", f"{back.seconds:.1f} s")
    took("answers to retry meanwhile, at the edge", str(sum(outcome["tries"].values())))
    async with reading(hub, key, cursor=cursor) as feed:
        await feed.until(outcome["sent"], within=60)
        with hub.client(key) as client:
            last = await eventually(lambda: accepted(client), within=60)
        await feed.until(outcome["sent"] + 1, within=60)
    assert feed.ids[-1] == last, "and nothing came in between that wasn't new"
    assert sorted(feed.ids[:-1]) == sorted(outcome["acked"].values())
    assert [one for one in feed.others if "gap" in one] == []


def accepted(client: httpx.Client) -> str:
    """The message id of one more event through the hub's own door."""
    answer = post(client, "last", source="/hub")
    return str(answer.json()["id"]) if answer.status_code == 202 else ""


def take_away(hub: Install) -> None:
    """The hub's Services for edges go, and nothing leads to it or stores for it."""
    hub.cluster.kubectl("delete", *(f"{SERVICES}/{name}" for name in TAKEN_AWAY), "--timeout=60s")
    for what, replicas in STOPPED.items():
        hub.cluster.kubectl("scale", what, f"--replicas={replicas}")
    eventually_now(lambda: not any(hub.pods(name.partition("/")[2]) for name in STOPPED), within=60, step=LOOK)


def queued(edge: Edge) -> int:
    """Flushes that the edge's hub doesn't have yet: in the queue, or in a logger's hands."""
    with redis.Redis.from_url(edge.server("redis_url"), socket_timeout=30) as client:
        keys = [f"{prefix(0)}queue", *client.scan_iter(f"{prefix(0)}taken:*")]
        return sum(int(client.llen(key)) for key in keys)
