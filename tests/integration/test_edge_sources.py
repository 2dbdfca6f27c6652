"""An edge whose hub is behind TLS with a certificate of a private authority: every door of it, the NATS one among them."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from shared.adapters.hub import HubCalls, HubConfig
from shared.domain.errors import Misconfigured, Unavailable
from tests.integration.clusters import EDGE, Clusters, Hub, settings_of_both
from tests.integration.fronts import new_key
from tests.integration.nats_source.conftest import connected, event, served
from tests.integration.services import Service
from tests.servers import Databases, RedisDatabases
from tests.tls import authority, terminating
from tests.waiting import eventually, eventually_now

HOST = "localhost"


@dataclass
class Behind:
    """The clusters; the hub's address by HTTPS, whom to trust for it, and the edge's own key; the edge's settings and its source."""

    clusters: Clusters
    url: str
    trusted: Path
    key: bytes
    edge: dict[str, str]
    source: Service


@pytest.fixture(scope="module")
def behind(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[Behind]:
    folder = tmp_path_factory.mktemp("tls")
    trusted, pem = authority(folder, HOST)
    with ExitStack() as stack:
        hub_settings, edge = stack.enter_context(settings_of_both(folder, redis_databases, nats_url, databases, migrated_template))
        hub = Hub(hub_settings, folder)
        url = f"https://{HOST}:{stack.enter_context(terminating(hub.port, pem))}"
        edge |= {"SWITCHBOARD_HUB_URL": url, "SSL_CERT_FILE": str(trusted)}
        services = hub, *(Service(name, edge, folder) for name in ("ingest", "logger", "nats_source"))
        both = Clusters(hub, services[1], services[2], asyncio.run(new_key(hub_settings["SWITCHBOARD_DATABASE_URL"], "acme")))
        for service in services:
            stack.callback(service.stop)
            service.start()
        eventually_now(lambda: both.answered(202, "first"))
        yield Behind(both, url, trusted, Path(edge["SWITCHBOARD_SECRET_FILE"]).read_bytes(), edge, services[3])


async def test_edge_has_its_config_and_hands_over_its_log_when_its_hub_is_behind_tls(behind: Behind) -> None:
    assert await eventually(lambda: behind.clusters.found("first"))
    assert await eventually(lambda: behind.clusters.delivery("first"))
    for service in (behind.clusters.door, behind.clusters.logger, behind.source):
        await eventually(lambda service=service: service.degraded() == [])  # type: ignore[misc]


async def test_hub_is_not_believed_when_nobody_trusted_vouches_for_its_name(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(url: str) -> int:
        calls = HubCalls(url, (behind.key,))
        try:
            return (await HubConfig(calls, EDGE).snapshot()).revision
        finally:
            await calls.stop()

    monkeypatch.setenv("SSL_CERT_FILE", str(behind.trusted))
    assert await asked(behind.url) > 0
    with pytest.raises(Unavailable):  # the certificate is for another name
        await asked(behind.url.replace(HOST, "127.0.0.1"))
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Unavailable):
        await asked(behind.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(behind.trusted.with_name("missing.pem")))
    with pytest.raises(Misconfigured, match="SSL_CERT_FILE"):
        await asked(behind.url)


async def test_request_and_submit_are_answered_when_nats_source_is_an_edge_s(behind: Behind) -> None:
    async with connected(behind.edge["SWITCHBOARD_NATS_URL"], "acme") as agent:
        await served(agent, within=30)
        receipt = await agent.ask("orders", event("asked"))
        assert (receipt["status"], receipt["deliveries"][0]["backbone"]) == ("accepted", EDGE), receipt
        await agent.submit("orders", event("submitted"), {"content-type": "application/cloudevents+json"})
        assert (await eventually(lambda: agent.receipts))[0]["status"] == "accepted"
        assert await eventually(lambda: behind.clusters.found("submitted"))


async def test_receipt_is_the_first_one_s_when_the_stream_delivers_again_what_the_hub_has(behind: Behind) -> None:
    """The edge's own log has forgotten the event by then: only the hub knows that it was accepted."""
    async with connected(behind.edge["SWITCHBOARD_NATS_URL"], "acme") as agent:
        await served(agent, within=30)
        assert behind.source.stop() == 0
        first = await asyncio.to_thread(sent, behind, event("again", topic="orders"))
        await eventually(lambda: behind.clusters.delivery("again"))
        with redis.Redis.from_url(behind.edge["SWITCHBOARD_REDIS_URL"]) as log:
            for key in log.scan_iter("sb:log:0:ids:*"):
                log.delete(key)
        await agent.submit("orders", event("again", topic="orders"), {"content-type": "application/cloudevents+json"})
        pulled = await agent.client.jetstream().pull_subscribe_bind("nats-source", stream="sb-submit-acme")
        (message,) = await pulled.fetch(1, timeout=30)
        await message.nak()
        await asyncio.to_thread(behind.source.start)
        (receipt,) = await eventually(lambda: agent.receipts)
    assert (receipt["id"], receipt["duplicate"], receipt["deliveries"]) == (first["id"], True, first["deliveries"])
    assert first["duplicate"] is False


def sent(behind: Behind, structured: bytes) -> dict[str, Any]:
    """The receipt of an event through the edge's HTTP door."""
    headers = behind.clusters.bearer | {"content-type": "application/cloudevents+json"}
    answer = httpx.post(f"{behind.clusters.door.url}/v1/events", content=structured, headers=headers, timeout=30)
    assert answer.status_code == 202, answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt
