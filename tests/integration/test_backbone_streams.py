"""The reconciler's streams on a real server: made, changed, and said of what can't be changed."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import nats
import pytest
from nats.js.api import StreamConfig

from shared.adapters.nats.backbone_streams import NatsBackboneStreams, has
from shared.adapters.nats.backbone_streams import config_of as config
from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.nats.endpoint import endpoints_of
from shared.domain.publishing import Outgoing
from shared.domain.registry.reach import Reach
from shared.domain.registry.streams import Source, WantedStream
from tests.events import accepted
from tests.servers import LocalServer
from tests.waiting import eventually

ID, DAY, MIB = "main-0badcafe", 86_400, 1024**2
WITHIN = 30.0


def wanted(org: str, **more: Any) -> WantedStream:
    return WantedStream(f"sb-{org}", (f"sb.{org}.>",), "file", 1, DAY, 8 * MIB)._replace(**more)


@pytest.fixture
def reach(nats_url: str, tmp_path: Path) -> Reach:
    """The run's server as a backbone of the registry."""
    parts = urlsplit(nats_url)
    (tmp_path / ID).write_text(f"{parts.username}:{parts.password}\n")
    return Reach(ID, "", "here", "local", f"nats://{parts.hostname}:{parts.port}", "local", here=True)


@pytest.fixture
async def streams(tmp_path: Path) -> AsyncIterator[NatsBackboneStreams]:
    streams = NatsBackboneStreams(tmp_path)
    yield streams
    await streams.stop()


async def config_of(url: str, name: str) -> StreamConfig:
    connection = await nats.connect(url)
    try:
        return (await connection.jsm().stream_info(name)).config
    finally:
        await connection.close()


async def test_stream_is_as_config_says_when_it_was_missing_and_when_it_differs(
    streams: NatsBackboneStreams, reach: Reach, nats_url: str, org: str
) -> None:
    assert await streams.ensure(reach, [wanted(org)]) == ("", "")
    made = await config_of(nats_url, f"sb-{org}")
    assert (made.subjects, made.max_age, made.max_bytes, made.duplicate_window) == ([f"sb.{org}.>"], DAY, 8 * MIB, 180)
    assert await streams.ensure(reach, [wanted(org, max_age_s=3600, max_bytes=16 * MIB)]) == ("", "")
    changed = await config_of(nats_url, f"sb-{org}")
    assert (changed.max_age, changed.max_bytes) == (3600, 16 * MIB)


async def test_publisher_leaves_it_as_it_is_when_it_is_the_registrys(
    streams: NatsBackboneStreams, reach: Reach, nats_url: str, org: str, tmp_path: Path
) -> None:
    await streams.ensure(reach, [wanted(org)])
    backbones = NatsBackbones({}, timeout=30)
    await backbones.start()
    try:
        backbones.follow(endpoints_of([reach], tmp_path))
        await eventually(lambda: backbones.reachable(ID), within=WITHIN)
        group = await backbones.publish(ID, org, [Outgoing(accepted("e1", org=org).message, 1)])
        assert group.results[0].sequence == 1
    finally:
        await backbones.stop()
    assert (await config_of(nats_url, f"sb-{org}")).max_age == DAY


async def test_it_says_which_and_why_when_a_stream_cannot_be_changed(
    streams: NatsBackboneStreams, reach: Reach, nats_url: str, org: str
) -> None:
    assert await streams.ensure(reach, [wanted(org)]) == ("", "")
    seen = await streams.ensure(reach, [wanted(org, storage="memory"), wanted(org + "-b", replicas=3)])
    assert seen.refused == ""
    assert f"sb-{org}: it has storage file, which can't be changed" in seen.streams
    assert f"sb-{org}-b: " in seen.streams
    assert "replicas" in seen.streams


async def test_stream_is_filled_under_its_own_subjects_when_it_has_a_source(
    streams: NatsBackboneStreams, reach: Reach, nats_url: str, org: str
) -> None:
    copy = wanted(org, name=f"sbg-{org}", subjects=(), sources=(Source("hub", org),))
    assert await streams.ensure(reach, [wanted(org), copy]) == ("", "")
    made = await config_of(nats_url, f"sbg-{org}")
    [source] = made.sources or []
    assert (made.subjects, source.name, source.external and source.external.api) == (None, f"sb-{org}", "$JS.hub.API")
    [transform] = source.subject_transforms or []
    assert (transform.src, transform.dest) == (f"sb.{org}.>", f"sbg.{org}.>")
    connection = await nats.connect(nats_url)
    try:
        answer = await connection.request(f"$JS.API.STREAM.INFO.sbg-{org}", b"")
        assert has(json.loads(answer.data)["config"], config(copy))  # else it would be changed at each look
    finally:
        await connection.close()


async def test_it_is_said_and_not_raised_when_no_server_answers(
    streams: NatsBackboneStreams, own_nats: LocalServer, org: str, tmp_path: Path
) -> None:
    parts = urlsplit(own_nats.url)
    (tmp_path / ID).write_text(f"{parts.username}:{parts.password}\n")
    reach = Reach(ID, "", "here", "local", f"nats://{parts.hostname}:{parts.port}", "local", here=True)
    own_nats.kill()
    assert (await streams.ensure(reach, [wanted(org)])).refused
    own_nats.start()

    async def there() -> bool:
        return await streams.ensure(reach, [wanted(org)]) == ("", "")

    await eventually(there, within=WITHIN)
    own_nats.kill()

    async def away() -> bool:
        return bool((await streams.ensure(reach, [wanted(org)])).refused)

    await eventually(away, within=WITHIN)


async def test_it_is_refused_when_the_server_is_another_than_was_declared(streams: NatsBackboneStreams, reach: Reach, org: str) -> None:
    seen = await streams.ensure(msgspec.structs.replace(reach, domain="hub"), [wanted(org)])
    assert "its JetStream domain is local" in seen.refused
    assert "loopback" in (await streams.ensure(msgspec.structs.replace(reach, here=False), [wanted(org)])).refused
