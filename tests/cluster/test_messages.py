"""A message's way on a cluster: in by the gateway, found by query, on the feed; and what must not be reached from outside."""

import asyncio
import json
import os
import secrets
import statistics
import time
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.cluster.clients import Clients
from tests.cluster.conftest import Took
from tests.cluster.install import Install
from tests.waiting import eventually

STRUCTURED = {"content-type": "application/cloudevents+json"}
INTERNAL = ("check-constraints", "route", "log-batch")
WARM = 1.0  # seconds after the ack, median of ROUNDS
ROUNDS = 5


def event(id: str, **changes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id, "source": "/cluster", "type": "cluster.test", "subject": "agent-7", "data": {"n": 1}} | changes


async def seen_on(feed: ClientConnection, id: str) -> None:
    """Read frames until the message is in one. Raises TimeoutError after 30 s."""
    async with asyncio.timeout(30):
        while id not in [one["id"] for one in json.loads(await feed.recv()).get("messages", ())]:
            pass


async def test_event_is_found_by_query_and_on_the_feed_at_once_when_it_is_posted_through_the_gateway(inline: Install, took: Took) -> None:
    bearer = {"authorization": f"Bearer {inline.key}"}
    feed_url = f"ws{inline.url.removeprefix('http')}/v1/feed?topic=cluster.%3E"
    ids = [f"feed-{secrets.token_hex(4)}" for _ in range(ROUNDS + 1)]
    on_feed, by_id = [], []
    async with (
        httpx.AsyncClient(base_url=inline.url, headers=bearer, timeout=60) as client,
        connect(feed_url, additional_headers=bearer, subprotocols=[Subprotocol("switchboard.feed.v1")], compression=None) as feed,
    ):
        assert "cursor" in json.loads(await feed.recv())

        async def found(id: str) -> bool:
            return (await client.get(f"/v1/messages/{id}")).status_code == 200

        for one in ids:
            answer = await client.post("/v1/events", json=event(one), headers=STRUCTURED)
            acked = time.monotonic()
            assert answer.status_code == 202, answer.text
            receipt = answer.json()
            assert receipt["deliveries"][0]["stream"] == "sb-default", receipt
            await seen_on(feed, receipt["id"])
            on_feed.append(time.monotonic() - acked)
            await eventually(lambda sent=receipt["id"]: found(sent), within=30)  # type: ignore[misc]
            by_id.append(time.monotonic() - acked)
        listed = (await client.get("/v1/messages", params={"subject": "agent-7", "topic": "cluster.test"})).json()["items"]
        why = (await client.get(f"/v1/messages/{receipt['id']}/why")).json()
    assert [one["event_id"] for one in listed[: ROUNDS + 1]] == ids[::-1]
    assert [step["step"] for step in why["steps"]][-1] == "delivery"
    for what, seconds in (("ack to the feed, warm", on_feed[1:]), ("ack to found by id, warm", by_id[1:])):
        took(what, f"median {statistics.median(seconds) * 1000:.0f} ms, max {max(seconds) * 1000:.0f} ms")
        assert statistics.median(seconds) < WARM, seconds


def test_gateway_answers_the_page_its_health_and_problems(inline: Install) -> None:
    with inline.client() as client:
        page = client.get("/")
        assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").status_code == 200
        assert client.get("/openapi.json").json()["paths"]["/v1/events"]
        assert client.put("/v1/events").status_code == 405
        assert client.get("/metrics").status_code == 404
        nobody = client.post("/v1/events", json=event("nobody"), headers={**STRUCTURED, "authorization": "Bearer nobody"})
        assert (nobody.status_code, nobody.headers["content-type"]) == (401, "application/problem+json")


def test_first_admin_signs_in_with_the_key_that_deploy_made(inline: Install) -> None:
    origin = {"origin": inline.url, "x-requested-with": "switchboard"}
    with httpx.Client(base_url=inline.url, timeout=60) as browser:
        assert browser.get("/v1/messages").status_code == 401
        assert browser.post("/v1/session", json={"key": inline.key}, headers=origin).is_success
        assert browser.cookies, "signing in gives a cookie"
        assert browser.get("/v1/messages").status_code == 200


@pytest.mark.parametrize("name", INTERNAL)
def test_internal_service_is_not_there_for_the_outside(inline: Install, name: str) -> None:
    """Neither at Knative's public listener, whatever name is asked for, nor at the gateway."""
    ingress = os.environ["INGRESS"]
    namespace = inline.cluster.namespace
    for host in (f"{name}.{namespace}.kn.test", f"{name}.{namespace}.svc.cluster.local", f"{name}.{namespace}"):
        answer = httpx.post(ingress, content=b"{}", headers={"host": host, **STRUCTURED}, timeout=20)
        assert answer.status_code == 404, host
    public = httpx.options(f"{ingress}/v1/events", headers={"host": f"ingest.{namespace}.kn.test"}, timeout=60)
    assert public.status_code == 200, "the listener is the one that public Services are at"
    with inline.client() as client:
        for path in (f"/{name}", f"/v1/{name}"):
            assert client.post(path, content=b"{}", headers=STRUCTURED).status_code in (404, 405)
        forged = event("forged", type="switchboard.message.accepted", sbproof="0" * 64)
        asked = client.post("/v1/events", json=forged, headers={**STRUCTURED, "host": f"{name}.{namespace}.svc.cluster.local"})
        assert asked.status_code == 400, "it came to ingest, for which such an event is malformed"


@pytest.mark.parametrize("key", ["", "f" * 48])
def test_internal_event_is_401_when_it_comes_from_a_pod_without_a_valid_proof(inline: Install, clients: Clients, key: str) -> None:
    plan = {"namespace": inline.cluster.namespace, "revision": revision_of(inline)}
    assert json.loads(clients.run("stages.py", {**plan, "key": key})) == dict.fromkeys(INTERNAL, 401)


def test_internal_event_is_taken_when_its_proof_is_right(inline: Install, clients: Clients) -> None:
    """What the refusals above rest on: nothing but the proof is wrong with them."""
    key = inline.secret("switchboard-secret", "keys").split()[0]
    plan = {"namespace": inline.cluster.namespace, "revision": revision_of(inline), "key": key}
    assert json.loads(clients.run("stages.py", plan)) == {"check-constraints": 200, "route": 200, "log-batch": 204}


def revision_of(install: Install) -> int:
    """The config revision in force, from a receipt."""
    with install.client() as client:
        answer = client.post("/v1/events", json=event(f"revision-{time.time_ns()}"), headers=STRUCTURED)
    return int(answer.json()["config_revision"])
