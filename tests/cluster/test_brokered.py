"""Brokered wiring on the real Broker: deployed again, what is refused, what is tried again, where dead letters go, what is forged.

How a Broker treats an answer is tests/broker.py; processes around a small broker are tests/integration/test_brokered.py.
"""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.cluster.manifests import SELECTOR
from infra.cluster.tools import Manifest
from shared.adapters.redis.received_log import RedisReceivedLog
from shared.domain.message import Message, uuid_text
from shared.domain.received import Received
from shared.domain.uuid7 import uuid7
from shared.stages import events as wire
from tests.cluster.clients import Clients
from tests.cluster.conftest import Took
from tests.cluster.hops import Tally, Watch, into_broker
from tests.cluster.install import BROKERED, LOOK, REMOTE, Install, variant, with_setting
from tests.events import message
from tests.faults import ledger
from tests.waiting import eventually, eventually_now

STRUCTURED = {"content-type": "application/cloudevents+json"}
SOURCES = ("nats-source", "redis-source")
GRANT = "action=publish,topics=orders.>"


class Sender:
    """A principal of a new org that may publish below `orders.`, and what becomes of what it sends."""

    def __init__(self, install: Install) -> None:
        self.org = f"b-{secrets.token_hex(4)}"
        self._install = install
        self.key = install.new_key("shop", self.org, GRANT)
        self._reader = install.new_key("reader", self.org, "action=read")

    def post(self, id: str, topic: str = "orders.x", **more: Any) -> dict[str, Any]:
        """The receipt of one event."""
        event = {"specversion": "1.0", "id": id, "source": "/s", "type": "order", "topic": topic, "data": {}, **more}
        with self._install.client(self.key) as client:
            answer = client.post("/v1/events", json=event, headers=STRUCTURED)
        assert answer.status_code == 202, answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    def stored(self, id: str, within: float = 60) -> dict[str, Any]:
        """The message with this id, once query has it."""
        with self._install.client(self._reader) as client:

            def found() -> httpx.Response | None:
                answer = client.get(f"/v1/messages/{id}")
                return answer if answer.status_code == 200 else None

            answer = eventually_now(found, within)
            assert answer is not None
            item: dict[str, Any] = answer.json()
        return item


@pytest.fixture(scope="module")
def watch(install: Install, clients: Clients) -> Iterator[Watch]:
    install.has(BROKERED)
    one = Watch(install, clients)
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def sender(install: Install, watch: Watch) -> Sender:
    return Sender(install)


def sink_of(pod: Manifest) -> str | None:
    """K_SINK as the pod has it."""
    values = [each.get("value") for one in pod["spec"]["containers"] for each in one.get("env", ()) if each["name"] == "K_SINK"]
    return values[0] if values else None


def sinks(install: Install) -> dict[str, set[str | None]]:
    return {name: {sink_of(pod) for pod in install.ready_pods(name)} for name in ("ingest", *SOURCES)}


def awake(install: Install, sender: Sender) -> dict[str, set[str | None]]:
    """The sinks of all three. A pod of ingest that answered may have been on its way to none, and those of the revision before it, which
    had no sink yet, are ready until Knative has them scaled down."""
    sender.post("awake")
    found = sinks(install)
    assert all(found.values()), found
    assert all(url and "broker-ingress" in url for url in found["ingest"]), found
    return found


def test_nothing_changes_when_brokered_wiring_is_deployed_again(brokered: Install, sender: Sender, took: Took) -> None:
    found = eventually_now(partial(awake, brokered, sender), within=120, step=LOOK)
    sink = {"http://ingest.switchboard.svc.cluster.local/v1/events"}
    assert (found["nats-source"], found["redis-source"]) == (sink, sink)
    before, revisions = brokered.generations(), brokered.revisions()
    again = brokered.deploy(BROKERED)
    took("deploy brokered wiring again", f"{again.seconds:.1f} s")
    assert "nothing to change" in again.said
    assert (brokered.generations(), brokered.revisions()) == (before, revisions)


def test_sinks_stay_when_a_changed_setting_is_deployed_to_brokered_wiring(
    brokered: Install, sender: Sender, folder: Path, took: Took
) -> None:
    """What a SinkBinding puts into a pod's environment is not in our manifests: applying those again must not take it away."""
    wanted, revisions = eventually_now(partial(awake, brokered, sender), within=120, step=LOOK), brokered.revisions()
    origins = ("SWITCHBOARD_WEBHOOK_ORIGINS", "https://brokered.example")
    patches = [with_setting("ingest", *origins), *(with_setting(name, *origins, "apps", "Deployment") for name in SOURCES)]
    changed = brokered.deploy(variant(folder, patches=patches, base=BROKERED), wiring=BROKERED)
    took("change of a setting, brokered", f"{changed.seconds:.1f} s")
    assert brokered.revisions()["ingest"] != revisions["ingest"]
    receipt = sender.post("after")
    assert receipt["status"] == "received", "the new revision knows of the Broker"
    assert sinks(brokered) == wanted
    assert sender.stored(receipt["id"])["verdict"] == "accepted"


def test_refusal_is_neither_sent_again_nor_dropped_when_brokered(brokered: Install, sender: Sender, watch: Watch, took: Took) -> None:
    sender.post("warm")
    tally = Tally(brokered)
    receipt = sender.post("not granted", topic="pay.now")
    assert receipt["status"] == "received"
    blocked = sender.stored(receipt["id"])
    assert (blocked["verdict"], blocked["rule"], blocked["topic"]) == ("blocked", "grant", "pay.now")
    eventually_now(lambda: watch.seen(wire.REJECTED, receipt["id"]), within=60)
    later = sender.post("granted")
    eventually_now(lambda: watch.seen(wire.DELIVERED, later["id"]), within=60)
    assert sender.stored(later["id"])["verdict"] == "accepted"
    assert len(watch.seen(wire.REJECTED, receipt["id"])) == 1
    assert len(watch.seen(wire.RECEIVED, receipt["id"])) == 1
    assert tally.refused("check-constraints") == tally.refused("route") == 0, "a refusal is an answer: nothing is sent again for it"


def proven(install: Install, about: Message, type: str, record_id: bytes, key: bytes | None = None) -> wire.Event:
    """An internal event as ingest or check-constraints makes it; `key` is another than the install's."""
    key = key or install.secret("switchboard-secret", "keys").split()[0].encode()
    targets = ("local",) if type == wire.ACCEPTED else ()
    said = wire.Said(record_id, about.org, about.principal, about.revision, targets, wire.by_name(about), brokered=True)
    return wire.signed(key, type, "/clusters/local/ingest", said, about)


async def test_event_is_sent_again_until_it_has_its_verdict_when_brokered(brokered: Install, sender: Sender, watch: Watch) -> None:
    """A message under a config revision that isn't there yet: check-constraints can't say anything, and says so (503)."""
    revision = int(sender.post("revision")["config_revision"]) + 1
    about = message(f"later-{secrets.token_hex(4)}", org=sender.org, topic="orders.x", principal="shop", revision=revision)
    record = Received(uuid7(), about)
    tally, id = Tally(brokered), uuid_text(about.id)
    log = RedisReceivedLog(brokered.server("redis_url"))
    await log.receive([record])
    await log.stop()
    with ThreadPoolExecutor(1) as meanwhile:
        sending = meanwhile.submit(into_broker, proven(brokered, about, wire.RECEIVED, record.record_id))
        await eventually(lambda: tally.refused("check-constraints", "unavailable") >= 2, within=60, step=LOOK)
        assert not watch.seen(wire.ACCEPTED, id)
        brokered.new_key("another", sender.org, GRANT)  # which makes the revision
        await eventually(lambda: watch.seen(wire.ACCEPTED, id), within=60)
        sending.result(150)
    stored = sender.stored(id)
    assert (stored["verdict"], stored["config_revision"]) == ("accepted", revision)
    assert tally.refused("check-constraints", "given-up") == 0
    await eventually(lambda: id in ledger.delivered(brokered.server("database_url")), within=60)


def test_nobody_has_a_sink_when_remote_wiring_is_deployed_after_it_with_prune(brokered: Install, sender: Sender, took: Took) -> None:
    """Ordered behind the others by its name (conftest.py): the install is brokered, and then isn't any more."""
    assert all(None not in found for found in sinks(brokered).values())
    back = brokered.deploy(REMOTE, "--prune")
    took("change from brokered to remote", f"{back.seconds:.1f} s")
    assert "run without a sink" in back.said
    kinds = "brokers.eventing.knative.dev,triggers.eventing.knative.dev,sinkbindings.sources.knative.dev"
    eventually_now(lambda: brokered.cluster.get(kinds, f"--selector={SELECTOR}") == [], within=60, step=LOOK)
    assert sender.post("after")["status"] == "accepted", "deploy returns once the revision without a sink serves"
    nobody: dict[str, set[str | None]] = {"ingest": {None}, "nats-source": {None}, "redis-source": {None}}
    eventually_now(lambda: sender.post("awake") and sinks(brokered) == nobody, within=120, step=LOOK)


async def test_forged_event_is_refused_once_and_is_a_dead_letter_when_brokered(brokered: Install, sender: Sender, watch: Watch) -> None:
    sender.post("streamed")
    about = message(f"forged-{secrets.token_hex(4)}", org=sender.org, topic="orders.x", principal="shop")
    tally, id = Tally(brokered), uuid_text(about.id)
    into_broker(proven(brokered, about, wire.ACCEPTED, uuid7(), key=b"k" * 48))
    await eventually(lambda: tally.refused("route", "unauthenticated") == 1, within=60, step=LOOK)
    await eventually(lambda: tally.refused("check-constraints", "given-up") == 1, within=60, step=LOOK)
    into_broker(proven(brokered, about, wire.RECEIVED, uuid7(), key=b"k" * 48))
    await eventually(lambda: tally.refused("check-constraints", "unauthenticated") == 1, within=60, step=LOOK)
    # With a right proof, but of what nobody ever received: the log knows of no such message.
    into_broker(proven(brokered, about, wire.ACCEPTED, uuid7()))
    into_broker(proven(brokered, about, wire.RECEIVED, uuid7()))
    later = sender.post("after the forged ones")
    await eventually(lambda: watch.seen(wire.DELIVERED, later["id"]), within=60)
    assert (tally.refused("route"), tally.refused("check-constraints")) == (1, 3), "sent again: one each, and two dead letters"
    assert not watch.seen(wire.DELIVERED, id)
    assert id not in await ledger.streamed(brokered.server("nats_url"), f"sb-{sender.org}")


def test_event_is_a_dead_letter_when_a_stage_can_t_take_it_for_a_minute_brokered(brokered: Install, sender: Sender, took: Took) -> None:
    about = message(f"never-{secrets.token_hex(4)}", org=sender.org, topic="orders.x", principal="shop", revision=2_000_000_000)
    tally = Tally(brokered)
    with ThreadPoolExecutor(1) as meanwhile:
        sending = meanwhile.submit(into_broker, proven(brokered, about, wire.RECEIVED, uuid7()))
        eventually_now(lambda: tally.refused("check-constraints", "given-up") == 1, within=150, step=LOOK)
        sending.result(150)
    assert tally.refused("check-constraints", "unavailable") == 9, "once, and eight times again"
