"""Triggers of the real Broker into ingest: what comes through, what is retried, what is not, and what goes back.

How a Broker treats an answer is tests/broker.py; here it is asked itself. What it sent is counted by ingest's own metrics.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import nats
import pytest
from nats.js.api import DeliverPolicy

from infra.cluster.tools import Cluster, Manifest
from tests.cluster.clients import Clients
from tests.cluster.conftest import Took
from tests.cluster.install import INLINE, LOOK, NAMESPACE, Install
from tests.waiting import eventually_now

RETRIES = 8  # a second apart, then two, and so on
KIB, MIB = 1024, 1024 * 1024
INGRESS = Cluster(None, "knative-eventing")
REJECTED = "switchboard.message.rejected"


class Broker:
    """A Broker with a dead letter sink, a Trigger into ingest for events with the extension `to: ingest`, and one for what is rejected.

    The Trigger's key is of the org and may publish below `orders.` alone.
    """

    def __init__(self, install: Install, clients: Clients, org: str) -> None:
        self.install, self.clients, self.org = install, clients, org
        self.name = org
        self.key = install.new_key("trigger", org, "action=publish,topics=orders.>")
        self.reader = install.new_key("reader", org, "action=read")

    def start(self) -> None:
        sink = {"ref": {"apiVersion": "v1", "kind": "Service", "name": "receiver"}}
        delivery = {
            "retry": RETRIES,
            "backoffPolicy": "linear",
            "backoffDelay": "PT1S",
            "deadLetterSink": {**sink, "uri": f"/dead/{self.name}"},
        }
        ingest = f"http://trigger:{self.key}@ingest.{NAMESPACE}.svc.cluster.local/v1/events"
        self.clients.apply(
            {**eventing("Broker", self.name), "spec": {"delivery": delivery}},
            self._trigger("ingest", {"to": "ingest"}, {"uri": ingest}),
            self._trigger("rejected", {"type": REJECTED}, {**sink, "uri": f"/rejected/{self.name}"}),
        )
        triggers = [f"trigger/{self.name}-{name}" for name in ("ingest", "rejected")]
        self.clients.cluster.kubectl("wait", f"broker/{self.name}", *triggers, "--for=condition=Ready", "--timeout=60s")
        service = INGRESS.find("service/broker-ingress")
        assert service is not None
        self.url = f"http://{service['spec']['clusterIP']}/{self.clients.namespace}/{self.name}"

    def stop(self) -> None:
        self.clients.cluster.kubectl("delete", "trigger", f"{self.name}-ingest", f"{self.name}-rejected", "--wait=false")
        self.clients.cluster.kubectl("delete", "broker", self.name, "--wait=false")

    def _trigger(self, name: str, attributes: dict[str, str], subscriber: dict[str, Any]) -> Manifest:
        spec = {"broker": self.name, "filter": {"attributes": attributes}, "subscriber": subscriber}
        return {**eventing("Trigger", f"{self.name}-{name}"), "spec": spec}

    def send(self, id: str, content: bytes = b'{"sku": "a"}', **attributes: str) -> None:
        """An event into the Broker, for ingest. Over the in-memory channel the answer comes once it is delivered, retries included."""
        given = {"specversion": "1.0", "id": id, "source": "/broker", "type": "orders.created", "to": "ingest", **attributes}
        headers = {f"ce-{name}": value for name, value in given.items()} | {"content-type": "application/json"}
        assert httpx.post(self.url, content=content, headers=headers, timeout=60).status_code == 202

    def dead(self) -> list[dict[str, Any]]:
        return self.clients.received(f"/dead/{self.name}")

    def rejected(self) -> list[dict[str, Any]]:
        return self.clients.received(f"/rejected/{self.name}")

    def stored(self, id: str) -> dict[str, Any]:
        """The message of an event id, once query has it; then it is the only one."""
        with self.install.client(self.reader) as client:

            def found() -> list[dict[str, Any]]:
                items: list[dict[str, Any]] = client.get("/v1/messages", params={"event_id": id}).json()["items"]
                return items

            (one,) = eventually_now(found, within=60)
        return one


def eventing(kind: str, name: str) -> Manifest:
    return {"apiVersion": "eventing.knative.dev/v1", "kind": kind, "metadata": {"name": name}}


def posts(install: Install) -> dict[str, float]:
    """How many POSTs ingest has answered, and how many events it has accepted and refused."""
    found = install.metrics("ingest")
    refused = {series: value for series, value in found.items() if series.startswith("switchboard_events_refused_total")}
    total = {name: found.get(f"switchboard_events_{name}", 0.0) for name in ("seconds_count", "accepted_total")}
    return {"answered": total["seconds_count"], "accepted": total["accepted_total"], "refused": sum(refused.values())}


@pytest.fixture(scope="module")
def broker(install: Install, clients: Clients) -> Iterator[Broker]:
    install.has(INLINE)
    one = Broker(install, clients, f"broker-{time.time_ns() % 10**8}")
    one.start()
    yield one
    one.stop()


@pytest.fixture
def before(broker: Broker, inline: Install) -> dict[str, float]:
    """What ingest has counted, on one pod that is awake: a POST of the test's own wakes it."""
    with inline.client(broker.key) as client:
        assert client.post("/v1/events", content=b"no event", headers={"content-type": "application/cloudevents+json"}).status_code == 400
    eventually_now(lambda: len(inline.ready_pods("ingest")) == 1, within=60, step=LOOK)
    return posts(inline)


def since(install: Install, before: dict[str, float]) -> dict[str, float]:
    return {name: value - before[name] for name, value in posts(install).items()}


async def test_attributes_extensions_and_data_survive_to_the_row_and_the_subject(
    broker: Broker, inline: Install, before: dict[str, float], took: Took
) -> None:
    content = '{"sku":  "\u00e9\u4e2d", "n": 1.50}\n'.encode()
    began = time.monotonic()
    broker.send(
        "survives",
        content,
        subject="agent-7",
        time="2026-01-02T03:04:05.678Z",
        dataschema="https://h.example/orders",
        kept="so",
        number="7",
    )
    one = broker.stored("survives")
    took("an event from the Broker to found by query", f"{time.monotonic() - began:.2f} s")
    expected = {"source": "/broker", "type": "orders.created", "subject": "agent-7", "topic": "orders.created", "verdict": "accepted"}
    assert {name: one[name] for name in expected} == expected
    assert one["principal"] == "trigger"
    assert one["time"].startswith("2026-01-02T03:04:05.678")
    extensions = one["extensions"]
    assert (extensions["kept"], extensions["number"], extensions["to"]) == ("so", "7", "ingest")
    with inline.client(broker.reader) as client:
        raw = client.get(f"/v1/messages/{one['id']}", params={"raw": "1"})
    assert raw.content == content, "byte for byte"
    subject, headers, data = await first_on_stream(inline, broker.org)
    assert subject == f"sb.{broker.org}.agent-7.orders.created"
    assert data == content
    assert (headers["ce-id"], headers["ce-kept"], headers["ce-sbid"]) == ("survives", "so", one["id"])
    assert since(inline, before) == {"answered": 1, "accepted": 1, "refused": 0}


async def first_on_stream(install: Install, org: str) -> tuple[str, dict[str, str], bytes]:
    connection = await nats.connect(install.server("nats_url"))
    try:
        jetstream = connection.jetstream()
        consumer = await jetstream.subscribe(f"sb.{org}.>", stream=f"sb-{org}", ordered_consumer=True, deliver_policy=DeliverPolicy.ALL)
        one = await consumer.next_msg(timeout=10)
        return one.subject, {name.lower(): value for name, value in (one.headers or {}).items()}, one.data
    finally:
        await connection.close()


def test_malformed_event_is_sent_once_and_ends_in_the_dead_letter_sink(broker: Broker, inline: Install, before: dict[str, float]) -> None:
    broker.send("malformed", topic="t" * 1100)
    (one,) = eventually_now(lambda: [one for one in broker.dead() if one["headers"].get("ce-id") == "malformed"], within=30)
    assert one["headers"]["ce-knativeerrorcode"] == "400"
    broker.send("after-malformed")
    broker.stored("after-malformed")
    assert since(inline, before) == {"answered": 2, "accepted": 1, "refused": 1}, "a refusal was sent again"


def test_forbidden_event_is_sent_once_and_its_rejection_reaches_another_trigger(
    broker: Broker, inline: Install, before: dict[str, float]
) -> None:
    dead = len(broker.dead())
    broker.send("forbidden", topic="pay.now")
    (one,) = eventually_now(lambda: broker.rejected(), within=30)
    headers, (receipt,) = one["headers"], json.loads(one["body"])["receipts"]
    assert (headers["ce-type"], headers["ce-source"]) == (REJECTED, "/clusters/local/ingest")
    assert (receipt["status"], receipt["problem"]["status"], receipt["problem"]["rule"]) == ("blocked", 403, "grant")
    assert headers["ce-subject"] == receipt["id"]
    blocked = broker.stored("forbidden")
    assert (blocked["id"], blocked["verdict"], blocked["rule"]) == (receipt["id"], "blocked", "grant")
    broker.send("after-forbidden")
    broker.stored("after-forbidden")
    assert since(inline, before) == {"answered": 2, "accepted": 1, "refused": 1}, "a refusal was sent again"
    assert len(broker.dead()) == dead


def test_event_is_sent_again_until_it_is_taken_when_ingest_has_too_much_in_flight(
    broker: Broker, clients: Clients, inline: Install, before: dict[str, float]
) -> None:
    assert before["answered"] > 0, "ingest is awake"
    dead = len(broker.dead())
    plan = {"url": f"http://ingest.{NAMESPACE}.svc.cluster.local", "key": broker.key, "connections": 8, "size": 8 * MIB, "seconds": 25}
    with ThreadPoolExecutor(1) as meanwhile, clients.running("hold.py", plan) as holding:
        assert holding.stdout is not None
        assert holding.stdout.readline() == "held\n"
        full = posts(inline)
        sending = meanwhile.submit(broker.send, "overloaded", b'{"text": "' + b"x" * KIB + b'"}')
        eventually_now(lambda: since(inline, full)["refused"] >= 1, within=10, step=LOOK)
        assert since(inline, full)["accepted"] == 0
        kinds = [series for series in inline.metrics("ingest") if "refused" in series and "overloaded" in series.lower()]
        assert any('rule=""' in series for series in kinds), kinds
    sending.result(60)
    one = broker.stored("overloaded")
    assert one["verdict"] == "accepted"
    counted = since(inline, full)
    assert counted["accepted"] == 1
    assert counted["answered"] >= 2, "once refused, then taken"
    assert len(broker.dead()) == dead, "what can be retried was dropped"
