"""`switchboard listen` on a real backbone, as a process of its own."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import nats
import pytest
from nats.js.api import StreamConfig

from shared.adapters.nats.backbones import NatsBackbones
from shared.domain.publishing import Outgoing
from tests.conformance.backbones import BACKBONE, message
from tests.servers import LocalServer
from tests.waiting import eventually


@pytest.fixture
async def backbones(nats_url: str) -> AsyncIterator[NatsBackbones]:
    backbones = NatsBackbones({BACKBONE: nats_url}, timeout=30)
    await backbones.start()
    await eventually(lambda: backbones.reachable(BACKBONE))
    yield backbones
    await backbones.stop()


@asynccontextmanager
async def listening(url: str, org: str, *options: str) -> AsyncIterator[Process]:
    """`switchboard listen`, once it says that it listens."""
    command = (sys.executable, "-m", "infra.cli.main", "listen", "--org", org, *options)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env={**os.environ, "SWITCHBOARD_NATS_URL": url})
    assert process.stderr is not None
    try:
        announced = await process.stderr.readline()
        assert announced.startswith(b"listening on sb."), announced + await process.stderr.read()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def lines(process: Process, count: int) -> list[str]:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return [(await process.stdout.readline()).decode().rstrip("\n") for _ in range(count)]


async def publish(backbones: NatsBackbones, org: str, *event_ids: str, subject: str = "agent-7") -> None:
    published = await backbones.publish(BACKBONE, org, [Outgoing(message(org, one, subject=subject), 1) for one in event_ids])
    assert all(result.sequence for result in published.results)


async def test_only_new_messages_for_the_recipient_are_printed_when_it_listens(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    await publish(backbones, org, "before")
    async with listening(nats_url, org, "--subject", "agent-7", "--count", "2", "-o", "json") as process:
        await publish(backbones, org, "other", subject="agent-8")
        await publish(backbones, org, "first", "second")
        events = [json.loads(line) for line in await lines(process, 2)]
        assert [(event["id"], event["subject"], event["data"]) for event in events] == [
            ("first", "agent-7", {"sku": "a"}),
            ("second", "agent-7", {"sku": "a"}),
        ]
        assert await process.wait() == 0


async def test_stream_is_made_and_messages_come_when_it_listens_before_the_first_one(
    backbones: NatsBackbones, nats_url: str, org: str
) -> None:
    async with listening(nats_url, org, "--topic", "orders.*", "--count", "1") as process:
        await publish(backbones, org, "first")
        [line] = await lines(process, 1)
        assert line.endswith('  orders.created  agent-7  /shop  {"sku":"a"}')


async def test_everything_is_printed_in_order_when_all_is_asked_for(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    ids = [f"e{number}" for number in range(300)]
    await publish(backbones, org, *ids)
    async with listening(nats_url, org, "--all", "--count", "300", "-o", "json") as process:
        assert [json.loads(line)["id"] for line in await lines(process, 300)] == ids


async def test_older_messages_are_counted_when_it_listens_to_new_ones(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    await publish(backbones, org, "first", "second")
    await publish(backbones, org, "other", subject="agent-8")
    async with listening(nats_url, org, "--subject", "agent-7") as process:
        assert process.stderr is not None
        assert await process.stderr.readline() == b"2 older messages: --all shows them\n"


async def test_durable_consumer_goes_on_where_it_was_when_it_comes_back(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    options = ("--durable", "billing", "--count", "1", "-o", "json")
    async with listening(nats_url, org, *options) as process:
        await publish(backbones, org, "first")
        await lines(process, 1)
        assert await process.wait() == 0
    await publish(backbones, org, "second")
    async with listening(nats_url, org, *options) as process:
        assert [json.loads(line)["id"] for line in await lines(process, 1)] == ["second"]


async def made_leaf(url: str, org: str, *event_ids: str) -> None:
    """What a backbone that has just been joined to a hub gets: the stream of what is for `global`, and what the hub's had already."""
    connection = await nats.connect(url)
    try:
        await connection.jsm().add_stream(StreamConfig(name=f"sbg-{org}", subjects=[f"sbg.{org}.>"], max_bytes=1 << 20))
        for each in event_ids:
            headers = {"ce-specversion": "1.0", "ce-id": each, "ce-source": "/hub", "ce-type": "orders.created", "ce-subject": "agent-7"}
            await connection.jetstream().publish(f"sbg.{org}.agent-7.orders.created", b"{}", headers=headers)
    finally:
        await connection.close()


async def test_messages_for_global_come_too_when_the_backbone_is_a_leaf(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    await made_leaf(nats_url, org, "g1", "g2")
    await publish(backbones, org, "own")
    async with listening(nats_url, org, "--subject", "agent-7", "--all", "--count", "3", "-o", "json") as process:
        ids = [json.loads(line)["id"] for line in await lines(process, 3)]
        assert (sorted(ids), ids.index("g1") < ids.index("g2")) == (["g1", "g2", "own"], True)
    async with listening(nats_url, org, "--topic", "orders.>") as process:
        assert process.stderr is not None
        assert await process.stderr.readline() == b"3 older messages: --all shows them\n"


async def test_messages_for_global_come_when_the_backbone_becomes_a_leaf_meanwhile(
    backbones: NatsBackbones, nats_url: str, org: str
) -> None:
    async with listening(nats_url, org, "--durable", "agent", "-o", "json") as process:
        await publish(backbones, org, "own")
        await lines(process, 1)
        await made_leaf(nats_url, org, "g1", "g2")
        assert [json.loads(line)["id"] for line in await lines(process, 2)] == ["g1", "g2"]
        await publish(backbones, org, "own too")
        assert [json.loads(line)["id"] for line in await lines(process, 1)] == ["own too"]


async def test_it_ends_well_when_ctrl_c_is_pressed(nats_url: str, org: str) -> None:
    async with listening(nats_url, org) as process:
        process.send_signal(signal.SIGINT)
        assert await process.communicate() == (b"", b"")
        assert process.returncode == 0


async def test_nothing_is_missed_when_the_server_is_killed_and_comes_back(own_nats: LocalServer, org: str) -> None:
    backbones = NatsBackbones({BACKBONE: own_nats.url}, timeout=30)
    await backbones.start()
    await eventually(lambda: backbones.reachable(BACKBONE))
    async with listening(own_nats.url, org, "--count", "2", "-o", "json") as process:
        await publish(backbones, org, "first")
        assert json.loads((await lines(process, 1))[0])["id"] == "first"
        await backbones.stop()
        own_nats.kill()
        own_nats.start()
        await backbones.start()
        await eventually(partial(backbones.look, BACKBONE, org, ()))  # as a relay does before anything goes out anew
        await publish(backbones, org, "second")
        assert json.loads((await lines(process, 1))[0])["id"] == "second"
    await backbones.stop()


async def test_nothing_is_missed_when_the_first_message_comes_before_it_is_connected_again(own_nats: LocalServer, org: str) -> None:
    """Nothing was heard that it could go on behind."""
    backbones = NatsBackbones({BACKBONE: own_nats.url}, timeout=30)
    async with listening(own_nats.url, org, "--count", "1", "-o", "json") as process:
        process.send_signal(signal.SIGSTOP)
        try:
            own_nats.kill()
            own_nats.start()
            await backbones.start()
            await eventually(lambda: backbones.reachable(BACKBONE))
            await eventually(partial(backbones.look, BACKBONE, org, ()))
            await publish(backbones, org, "first")
        finally:
            process.send_signal(signal.SIGCONT)
        assert json.loads((await lines(process, 1))[0])["id"] == "first"
    await backbones.stop()


async def test_it_says_so_when_there_is_no_backbone(org: str) -> None:
    command = (sys.executable, "-m", "infra.cli.main", "listen", "--org", org)
    environment = {**os.environ, "SWITCHBOARD_NATS_URL": "nats://127.0.0.1:9"}
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=environment)
    _, said = await process.communicate()
    assert process.returncode == 69
    assert b"no NATS to listen to at 127.0.0.1:9" in said
