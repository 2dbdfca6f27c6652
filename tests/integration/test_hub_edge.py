"""What an edge does with its hub, and without it."""

import asyncio
import secrets
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from infra.local.checks import Finding, Subject, examine
from shared.settings import Settings
from tests.feed import reading
from tests.integration.clusters import EDGE, Clusters, Hub, settings_of_both
from tests.integration.fronts import new_key
from tests.integration.services import Service
from tests.ports import free_port
from tests.servers import Databases, RedisDatabases
from tests.waiting import eventually, eventually_now

IN_FORCE_S = 1.0
AWAY = ["config", "hub"]  # what an edge's process says is lost


@pytest.fixture(scope="module")
def settings(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[tuple[dict[str, str], dict[str, str], Path]]:
    """Of the hub and of the edge, and a folder."""
    folder = tmp_path_factory.mktemp("clusters")
    with settings_of_both(folder, redis_databases, nats_url, databases, migrated_template) as both:
        yield *both, folder


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
        eventually_now(lambda: both.answered(202, "first"))
        yield both
    finally:
        for service in reversed(services):
            service.stop()


async def test_message_of_an_edge_is_in_the_hub_s_query_and_on_its_feed_once_when_it_was_accepted(clusters: Clusters) -> None:
    await eventually(lambda: clusters.found("first"))
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
    await eventually(lambda: clusters.door.degraded() == clusters.logger.degraded() == [])


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
        while "before" not in client.events:  # what was sent to see whether they are ready may come first
            await client.frame()
        seen = ["before"]
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
        seen += await again.until(len(sent), within=30)
        clusters.send("end", at=clusters.hub)
        assert (await again.until(len(sent) + 1))[-1] == "end"
    assert sorted(seen) == sorted(["before", *sent])
    for event_id in sent:
        assert await eventually(partial(clusters.found, event_id))
    await eventually(lambda: clusters.door.degraded() == clusters.logger.degraded() == [])


async def test_first_copy_comes_from_the_hub_when_the_edge_s_log_has_it_no_longer(clusters: Clusters) -> None:
    assert clusters.send("twice", '{"a": 1, "b": 2}').status_code == 202
    await eventually(lambda: clusters.found("twice"))
    same = await eventually(partial(clusters.answered, 202, "twice", '{"b":2,"a":1}'))
    assert same is not None
    assert same.json()["duplicate"] is True
    other = clusters.send("twice", '{"a": 3}')
    assert (other.status_code, other.json()["rule"]) == (422, "identity")
    clusters.hub.kill()
    unknown = clusters.send("twice", '{"b":2,"a":1}')
    assert unknown.status_code == 503, unknown.text
