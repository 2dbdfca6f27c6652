"""A hub and an edge on one machine, as processes: separate Redis and NATS, one PostgreSQL, which only the hub can reach."""

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from infra.local.checks import Finding, Subject, examine
from shared.settings import Settings
from tests.feed import reading
from tests.integration.fronts import COMMAND, environment, new_key
from tests.integration.services import Service
from tests.product import free_port
from tests.servers import Databases, RedisDatabases, running
from tests.waiting import eventually, eventually_now

EDGE = "edge-1"
IN_FORCE_S = 1.5  # a second, and room for a machine that does other things too
AWAY = ["config", "hub"]  # what an edge's process says is lost


class Hub(Service):
    """`switchboard up`'s front, on the port it had each time it runs: all HTTP functions and the feed."""

    def __init__(self, settings: dict[str, str], directory: Path) -> None:
        super().__init__("front", settings, directory)
        self.command = COMMAND

    def feed_url(self, **parameters: str) -> str:
        """Where its feed is."""
        return f"ws{self.url.removeprefix('http')}/v1/feed?{urlencode(parameters)}"


@dataclass
class Clusters:
    """Two clusters. `key` is an admin's of the org `acme`."""

    hub: Hub
    door: Service  # the edge's
    logger: Service  # the edge's
    key: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def send(self, event_id: str, data: str = '{"n": 1}', at: Service | None = None, key: str | None = None) -> httpx.Response:
        """An event, through the edge's door unless another is given."""
        headers = {"ce-specversion": "1.0", "ce-id": event_id, "ce-source": "/shop", "ce-type": "order", "content-type": "application/json"}
        bearer = {"authorization": f"Bearer {key or self.key}"}
        return httpx.post(f"{(at or self.door).url}/v1/events", content=data, headers=headers | bearer, timeout=20)

    def found(self, event_id: str) -> dict[str, Any] | None:
        """The message as the hub's query has it."""
        parameters = {"source": "/shop", "event_id": event_id}
        items: list[dict[str, Any]] = self.ask("GET", "/v1/messages", params=parameters).json()["items"]
        assert len(items) <= 1
        return items[0] if items else None

    def delivery(self, event_id: str) -> dict[str, Any] | None:
        """Its delivery there."""
        found = self.found(event_id)
        return found["deliveries"][0] if found and found["deliveries"] else None

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The hub's answer, which must be good."""
        answer = httpx.request(method, f"{self.hub.url}{path}", headers=self.bearer, timeout=20, **request)
        assert answer.is_success, answer.text
        return answer

    def metrics(self) -> str:
        """The edge's door's."""
        return httpx.get(f"{self.door.url}/metrics", timeout=20).text

    def answered(self, status: int, event_id: str, data: str = '{"n": 1}', key: str | None = None) -> httpx.Response | None:
        """The answer to an event, if it has this status."""
        response = self.send(event_id, data, key=key)
        return response if response.status_code == status else None

    async def in_force(self, send: Callable[[], httpx.Response], status: int) -> tuple[float, httpx.Response]:
        """The first answer with this status, and after how many seconds the last event was sent that was judged by what held before.

        A change counts from the hub's answer to it, and an event from when it is sent: neither is how long a busy machine takes to answer.
        """
        began = stale = time.monotonic()

        def ask() -> httpx.Response | None:
            nonlocal stale
            asked = time.monotonic()
            response = send()
            if response.status_code == status:
                return response
            stale = asked
            return None

        answer = await eventually(ask, within=10)
        assert answer is not None
        return stale - began, answer

    def change(self, document: dict[str, Any]) -> int:
        """Put the org's document at the hub; its revision."""
        return int(self.ask("PUT", "/v1/config/org", json=document).headers["etag"].strip('"'))


@pytest.fixture(scope="module")
def settings(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[tuple[dict[str, str], dict[str, str], Path]]:
    """Of the hub and of the edge, which knows no database and has a key of its own; and a folder."""
    folder = tmp_path_factory.mktemp("clusters")
    with ExitStack() as stack:
        database = stack.enter_context(databases.temporary(migrated_template))
        edge_redis, edge_nats = (stack.enter_context(running(kind, folder / "edge-servers")) for kind in ("redis", "nats"))
        own_key = folder / "edges" / EDGE  # the edge doesn't have the install's secret
        own_key.parent.mkdir()
        own_key.write_text(secrets.token_hex(24))
        hub = environment(folder, redis_databases.fresh(), nats_url, database)
        hub |= {"SWITCHBOARD_CLUSTER": "hub", "SWITCHBOARD_EDGE_KEYS": str(own_key.parent)}
        edge = hub | {
            "SWITCHBOARD_REDIS_URL": edge_redis.url,
            "SWITCHBOARD_NATS_URL": edge_nats.url,
            "SWITCHBOARD_CLUSTER": EDGE,
            "SWITCHBOARD_STATE_DIR": str(folder / "edge"),
            "SWITCHBOARD_SECRET_FILE": str(own_key),
        }
        del edge["SWITCHBOARD_DATABASE_URL"], edge["SWITCHBOARD_EDGE_KEYS"]
        yield hub, edge, folder


@pytest.fixture(scope="module")
def clusters(settings: tuple[dict[str, str], dict[str, str], Path]) -> Iterator[Clusters]:
    """Both, running."""
    hub_settings, edge_settings, folder = settings
    hub = Hub(hub_settings, folder)
    edge = edge_settings | {"SWITCHBOARD_HUB_URL": hub.url}
    both = Clusters(hub, Service("ingest", edge, folder), Service("logger", edge, folder), "")
    both.key = asyncio.run(new_key(hub_settings["SWITCHBOARD_DATABASE_URL"], "acme"))
    services = (hub, both.door, both.logger)
    try:
        for service in services:
            service.start()
        eventually_now(lambda: both.answered(202, "first"), within=10)
        yield both
    finally:
        for service in reversed(services):
            service.stop()


async def test_message_of_an_edge_is_in_the_hub_s_query_and_on_its_feed_once_when_it_was_accepted(clusters: Clusters) -> None:
    await eventually(lambda: clusters.found("first"), within=10)
    async with reading(clusters.hub, clusters.key) as client:
        receipt = clusters.send("shown").json()
        assert [each["backbone"] for each in receipt["deliveries"]] == [EDGE], receipt
        clusters.send("hub-s-own", at=clusters.hub)
        assert sorted(await client.until(2)) == ["hub-s-own", "shown"]
        delivery = await eventually(lambda: clusters.delivery("shown"))
        assert delivery is not None
        assert (delivery["backbone"], delivery["sequence"]) == (EDGE, receipt["deliveries"][0]["sequence"])
        clusters.send("last", at=clusters.hub)
        assert (await client.until(3))[2] == "last"
    assert clusters.door.degraded() == clusters.logger.degraded() == []


async def test_change_at_the_hub_is_in_force_at_the_edge_in_a_second_and_a_revoked_key_is_none(clusters: Clusters) -> None:
    for limit in (4, 100, 4, 100):
        revision = clusters.change({"max_bytes": limit})
        wanted = 413 if limit == 4 else 202
        # Each with an id of its own: what was accepted stays so when it comes again.
        seconds, answer = await clusters.in_force(lambda: clusters.send(secrets.token_hex(8), "12345678"), wanted)
        assert answer.json()["config_revision"] == revision
        assert seconds < IN_FORCE_S
    clusters.ask("PUT", "/v1/config/principals/shop", json={"grants": [{"action": "publish"}]})
    key = clusters.ask("POST", "/v1/config/principals/shop/keys").json()
    await eventually(partial(clusters.answered, 202, "with-key", key=key["key"]))
    clusters.ask("DELETE", f"/v1/config/principals/shop/keys/{key['id']}")
    seconds, _ = await clusters.in_force(lambda: clusters.send("with-key", key=key["key"]), 401)
    assert seconds < IN_FORCE_S


async def test_doctor_finds_the_hub_when_an_edge_has_its_secret_and_says_what_is_wrong_when_it_has_not(
    clusters: Clusters, tmp_path: Path
) -> None:
    wrong = tmp_path / "keys"
    wrong.write_text("w" * 48)
    told = clusters.door.settings

    async def found(**changed: str) -> Finding:
        settings = Settings.from_env(told | {f"SWITCHBOARD_{name}": value for name, value in changed.items()})
        return dict(await examine(Subject(settings, {})))["hub"]

    well = await found()
    assert (well.status, well.found.partition(",")[0]) == ("ok", clusters.hub.url)
    refused = await found(SECRET_FILE=str(wrong))
    assert (refused.status, "secret" in refused.remedy) == ("failed", True)
    nobody = await found(HUB_URL=f"http://127.0.0.1:{free_port()}")
    assert (nobody.status, "hub" in nobody.found) == ("failed", True)


async def test_edge_goes_on_without_its_hub_and_nothing_is_missing_or_double_when_the_hub_is_back(clusters: Clusters) -> None:
    async with reading(clusters.hub, clusters.key) as client:
        clusters.send("before")
        seen = await client.until(1)
    clusters.hub.kill()
    clusters.logger.kill()
    clusters.logger.start()  # with nothing but what is on the disk
    sent = [f"without-{number}" for number in range(40)]
    for event_id in sent:
        receipt = clusters.send(event_id)
        assert (receipt.status_code, receipt.json()["deliveries"][0]["backbone"]) == (202, EDGE), receipt.text
        if event_id == sent[20]:
            clusters.door.kill()
            shutil.rmtree(clusters.door.settings["SWITCHBOARD_STATE_DIR"])  # a pod's disk is new: its Redis has the last snapshot
            clusters.door.start()
    await eventually(lambda: clusters.door.degraded() == AWAY)
    await eventually(lambda: clusters.logger.degraded() == [*AWAY, "log-batch"])
    metrics = clusters.metrics()
    assert 'switchboard_degraded{dependency="hub"} 1.0' in metrics
    assert 'switchboard_degraded{dependency="config"} 1.0' in metrics
    clusters.hub.start()
    async with reading(clusters.hub, clusters.key, cursor=client.cursor) as again:
        seen += await again.until(len(sent), within=15)
        clusters.send("end", at=clusters.hub)
        assert (await again.until(len(sent) + 1))[-1] == "end"
    assert sorted(seen) == sorted(["before", *sent])
    for event_id in sent:
        assert await eventually(partial(clusters.found, event_id), within=10)
    await eventually(lambda: clusters.door.degraded() == clusters.logger.degraded() == [], within=10)


async def test_first_copy_comes_from_the_hub_when_the_edge_s_log_has_it_no_longer(clusters: Clusters) -> None:
    assert clusters.send("twice", '{"a": 1, "b": 2}').status_code == 202
    await eventually(lambda: clusters.found("twice"), within=10)
    same = await eventually(partial(clusters.answered, 202, "twice", '{"b":2,"a":1}'))
    assert same is not None
    assert same.json()["duplicate"] is True
    other = clusters.send("twice", '{"a": 3}')
    assert (other.status_code, other.json()["rule"]) == (422, "identity")
    clusters.hub.kill()
    unknown = clusters.send("twice", '{"b":2,"a":1}')
    assert unknown.status_code == 503, unknown.text
