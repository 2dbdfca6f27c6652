"""Publishing to a NATS server that misbehaves, and to streams that others meddle with."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.client import Client

from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.nats.streams import wanted
from shared.ports import Outgoing
from tests.conformance.backbones import BACKBONE, message, outgoing, sequences
from tests.conformance.test_backbones_nats import read_stream
from tests.servers import LocalServer, running
from tests.waiting import eventually

MIB = 1024 * 1024


@asynccontextmanager
async def connected(url: str, timeout: float = 10.0) -> AsyncIterator[NatsBackbones]:
    backbones = NatsBackbones({BACKBONE: url}, timeout=timeout)
    await backbones.start()
    try:
        yield backbones
    finally:
        await backbones.stop()


@pytest.fixture
async def backbones(nats_url: str) -> AsyncIterator[NatsBackbones]:
    async with connected(nats_url) as found:
        yield found


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    """An operator's connection, not ours."""
    client = await nats.connect(nats_url)
    yield client
    await client.close()


async def jetstream(client: Client, method: str, **body: object) -> dict[str, Any]:
    answer = await client.request(f"$JS.API.{method}", json.dumps(body).encode(), timeout=10)
    found: dict[str, Any] = json.loads(answer.data)
    return found


async def raw_headers(client: Client, org: str, sequence: int) -> dict[str, str]:
    found = await client.jetstream().get_msg(f"sb-{org}", sequence)
    return dict(found.headers or {})


# ---- batches and singles --------------------------------------------------------------------------------------------------------


async def test_stream_is_the_same_when_a_group_goes_as_batch_or_one_by_one(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    other = f"{org}-singles"
    pairs = [(message(org, f"e{number}"), message(other, f"e{number}")) for number in range(120)]
    await backbones.publish(BACKBONE, org, [Outgoing(one, 1) for one, _ in pairs])
    for start in range(0, 120, 40):
        await backbones.publish(BACKBONE, other, [Outgoing(one, 1) for _, one in pairs[start : start + 40]])

    def comparable(headers: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in headers.items() if name not in ("ce-sbid", "nats-msg-id")}

    batched, single = await read_stream(nats_url, org), await read_stream(nats_url, other)
    assert [(one.sequence, comparable(one.headers), one.body) for one in batched] == [
        (one.sequence, comparable(one.headers), one.body) for one in single
    ]
    assert [one.subject.replace(org, "") for one in batched] == [one.subject.replace(other, "") for one in single]


async def test_group_is_one_atomic_batch_when_it_has_64_messages(backbones: NatsBackbones, client: Client, org: str) -> None:
    await backbones.publish(BACKBONE, org, outgoing(org, 64))
    await backbones.publish(BACKBONE, org, outgoing(org, 63))
    assert "Nats-Batch-Id" in await raw_headers(client, org, 1)
    assert "Nats-Batch-Commit" in await raw_headers(client, org, 64)
    assert "Nats-Batch-Id" not in await raw_headers(client, org, 65)


async def test_messages_go_one_by_one_when_the_stream_takes_no_batch(backbones: NatsBackbones, client: Client, org: str) -> None:
    await backbones.publish(BACKBONE, org, outgoing(org, 1))
    await jetstream(client, f"STREAM.UPDATE.sb-{org}", **(wanted(org, 256 * MIB) | {"allow_atomic": False}))
    published = await backbones.publish(BACKBONE, org, outgoing(org, 100))
    assert sequences(published) == list(range(2, 102))


async def test_messages_go_one_by_one_when_too_many_batches_are_open(backbones: NatsBackbones, client: Client, org: str) -> None:
    await backbones.publish(BACKBONE, org, outgoing(org, 1))
    for number in range(60):
        await client.publish(f"sb.{org}._.t", b"", headers={"Nats-Batch-Id": f"open-{number}", "Nats-Batch-Sequence": "1"})
    await client.flush()
    published = await backbones.publish(BACKBONE, org, outgoing(org, 100))
    assert sequences(published) == list(range(2, 102))


async def test_all_messages_are_stored_when_ten_thousand_come(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    group = outgoing(org, 10_000)
    for start in range(0, 10_000, 1000):
        published = await backbones.publish(BACKBONE, org, group[start : start + 1000])
        assert sequences(published) == list(range(start + 1, start + 1001))
    assert [one.headers["ce-id"] for one in await read_stream(nats_url, org)] == [one.message.event_id for one in group]


# ---- refusals -------------------------------------------------------------------------------------------------------------------


async def test_message_is_refused_in_the_servers_words_when_it_is_over_the_streams_limit(
    backbones: NatsBackbones, client: Client, org: str
) -> None:
    await backbones.publish(BACKBONE, org, outgoing(org, 1))
    await jetstream(client, f"STREAM.UPDATE.sb-{org}", **(wanted(org, 256 * MIB) | {"max_msg_size": 1000}))
    group = outgoing(org, 100)
    group[50] = Outgoing(message(org, body=b"x" * 1000), 1)
    published = await backbones.publish(BACKBONE, org, group)
    assert published.results[50].refused == "message size exceeds maximum allowed"
    assert sequences(published) == [*range(2, 52), 0, *range(52, 101)]


async def test_messages_are_refused_in_the_servers_words_when_the_stream_is_full(
    backbones: NatsBackbones, client: Client, org: str
) -> None:
    await backbones.publish(BACKBONE, org, outgoing(org, 1))
    await jetstream(client, f"STREAM.UPDATE.sb-{org}", **(wanted(org, 256 * MIB) | {"discard": "new", "max_msgs": 41}))
    published = await backbones.publish(BACKBONE, org, outgoing(org, 80))
    assert sequences(published) == [*range(2, 42), *([0] * 40)]
    assert {result.refused for result in published.results[40:]} == {"maximum messages exceeded"}


# ---- streams --------------------------------------------------------------------------------------------------------------------


async def test_stream_is_made_as_contracted_when_it_is_missing(backbones: NatsBackbones, client: Client, org: str) -> None:
    published = await backbones.publish(BACKBONE, org, outgoing(org, 1))
    found = await jetstream(client, f"STREAM.INFO.sb-{org}")
    assert found["created"] == published.created
    assert {name: found["config"].get(name) for name in wanted(org, 256 * MIB)} == wanted(org, 256 * MIB)


async def test_stream_is_corrected_and_keeps_the_rest_when_it_differs(backbones: NatsBackbones, client: Client, org: str) -> None:
    await jetstream(
        client, f"STREAM.CREATE.sb-{org}", name=f"sb-{org}", subjects=[f"sb.{org}.>"], max_msg_size=5000, metadata={"by": "ops"}
    )
    published = await backbones.publish(BACKBONE, org, outgoing(org, 70))
    config = (await jetstream(client, f"STREAM.INFO.sb-{org}"))["config"]
    assert sequences(published) == list(range(1, 71))
    assert (config["allow_atomic"], config["max_msg_size"]) == (True, 5000)
    assert config["metadata"]["by"] == "ops"


@pytest.mark.parametrize("count", [3, 100])
async def test_stream_is_made_again_when_somebody_deleted_it(backbones: NatsBackbones, client: Client, org: str, count: int) -> None:
    before = await backbones.publish(BACKBONE, org, outgoing(org, 5))
    await jetstream(client, f"STREAM.DELETE.sb-{org}")
    after = await backbones.publish(BACKBONE, org, outgoing(org, count))
    assert sequences(after) == list(range(1, count + 1))
    assert after.created > before.created


async def test_pub_ack_is_not_counted_when_another_stream_took_the_message(client: Client, nats_url: str, org: str) -> None:
    async with connected(nats_url, timeout=0.5) as backbones:
        await backbones.publish(BACKBONE, org, outgoing(org, 1))
        await jetstream(client, f"STREAM.DELETE.sb-{org}")
        await jetstream(client, f"STREAM.CREATE.foreign-{org}", name=f"foreign-{org}", subjects=[f"sb.{org}.>"])
        published = await backbones.publish(BACKBONE, org, outgoing(org, 2))
    assert [result.lost for result in published.results] == [f"acknowledged by stream foreign-{org} of domain local"] * 2


async def test_everything_is_lost_with_the_reason_when_the_stream_cannot_be_made(
    backbones: NatsBackbones, client: Client, org: str
) -> None:
    await jetstream(client, f"STREAM.CREATE.foreign-{org}", name=f"foreign-{org}", subjects=[f"sb.{org}.*.x"])
    published = await backbones.publish(BACKBONE, org, outgoing(org, 2))
    assert [result.lost for result in published.results] == [f"no stream sb-{org}: subjects overlap with an existing stream"] * 2


# ---- servers that go away -------------------------------------------------------------------------------------------------------


async def test_start_returns_and_publishing_works_later_when_the_server_is_down_at_first(tmp_path: Path, org: str) -> None:
    with running("nats", tmp_path) as server:
        server.stop()
        async with connected(server.url) as backbones:
            lost = await backbones.publish(BACKBONE, org, outgoing(org, 2))
            assert [result.lost for result in lost.results] == ["no connection"] * 2
            server.start()
            await eventually(lambda: backbones.reachable(BACKBONE), within=10)
            assert sequences(await backbones.publish(BACKBONE, org, outgoing(org, 2))) == [1, 2]


async def test_outstanding_messages_are_lost_at_once_when_the_server_is_killed(own_nats: LocalServer, org: str) -> None:
    async with connected(own_nats.url, timeout=60) as backbones:
        await backbones.publish(BACKBONE, org, outgoing(org, 1))
        own_nats.pause()
        publishing = asyncio.create_task(backbones.publish(BACKBONE, org, outgoing(org, 3)))
        await asyncio.sleep(0)  # it runs until it has sent and waits for its PubAcks
        assert not publishing.done()
        started = time.monotonic()
        own_nats.kill()
        published = await publishing
        assert time.monotonic() - started < 5
        assert all(result.lost for result in published.results)
        assert not backbones.reachable(BACKBONE)


@pytest.mark.parametrize("count", [3, 100])
async def test_messages_are_lost_by_the_deadline_when_the_server_hangs(own_nats: LocalServer, org: str, count: int) -> None:
    async with connected(own_nats.url, timeout=0.5) as backbones:
        await backbones.publish(BACKBONE, org, outgoing(org, 1))
        own_nats.pause()
        started = time.monotonic()
        published = await backbones.publish(BACKBONE, org, outgoing(org, count))
        assert time.monotonic() - started < 5
        assert {result.lost for result in published.results} == {"no PubAck in time"}
        own_nats.resume()
        again = outgoing(org, 1)
        await eventually(lambda: backbones.reachable(BACKBONE), within=10)
        assert (await backbones.publish(BACKBONE, org, again)).results[0].sequence


async def test_publishing_goes_on_in_order_when_the_server_was_killed_and_came_back(own_nats: LocalServer, org: str) -> None:
    async with connected(own_nats.url) as backbones:
        first = await backbones.publish(BACKBONE, org, outgoing(org, 5))
        own_nats.kill()
        await eventually(lambda: not backbones.reachable(BACKBONE))
        missing = outgoing(org, 100)
        lost = await backbones.publish(BACKBONE, org, missing)
        assert {result.lost for result in lost.results} == {"no connection"}
        own_nats.start()
        await eventually(lambda: backbones.reachable(BACKBONE), within=10)
        known = [msgspec.structs.replace(one, known=True) for one in missing]
        published = await backbones.publish(BACKBONE, org, known)
        assert (published.created, published.stream) == (first.created, first.stream)
        stored = await read_stream(own_nats.url, org)
    assert [one.headers["ce-id"] for one in stored][-100:] == [one.message.event_id for one in missing]


async def test_nothing_is_stored_late_when_it_was_lost_in_a_disconnection(own_nats: LocalServer, org: str) -> None:
    async with connected(own_nats.url) as backbones:
        await backbones.publish(BACKBONE, org, outgoing(org, 1))
        own_nats.kill()
        await backbones.publish(BACKBONE, org, outgoing(org, 10))
        own_nats.start()
        await eventually(lambda: backbones.reachable(BACKBONE), within=10)
        [last] = outgoing(org)
        assert sequences(await backbones.publish(BACKBONE, org, [last])) == [2]


@pytest.fixture
def quiet_link() -> Iterator[None]:
    """The link warns of a refused connection; these tests want it refused."""
    logger = logging.getLogger("shared.adapters.nats.link")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


@pytest.mark.usefixtures("quiet_link")
async def test_backbone_is_unreachable_and_nothing_raises_when_the_password_is_wrong(nats_url: str, org: str) -> None:
    async with connected(nats_url.replace("switchboard:", "switchboard:not-")) as backbones:
        assert not backbones.reachable(BACKBONE)
        published = await backbones.publish(BACKBONE, org, outgoing(org, 1))
        assert published.results[0].lost == "no connection"
