"""Backbones that anybody with a grant may have declared, and that nobody answers for: what trying costs, on real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from shared.adapters.nats.connection import RETRY_EVERY
from shared.adapters.nats.endpoint import Endpoint
from shared.adapters.nats.link import LONGEST_PAUSE, Link
from tests.waiting import eventually


async def test_a_dead_backbone_is_tried_less_and_less_often_when_it_stays_away() -> None:
    """A thousand of one org's, tried five times a second each, took more than half a core of every door's process."""
    tried: list[float] = []
    enough = asyncio.Event()

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tried.append(time.monotonic())
        if len(tried) == 5:
            enough.set()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    link = Link("eu-1", f"nats://{host}:{port}", "test", Endpoint(f"nats://{host}:{port}", here=True))
    link.start()
    try:
        async with asyncio.timeout(30):
            await enough.wait()
    finally:
        await link.stop()
        server.close()
        await server.wait_closed()
    shortest = sum(RETRY_EVERY * 2**each * 0.5 for each in range(4))  # a slow machine only makes it longer
    assert tried[-1] - tried[0] >= shortest * 0.95


async def _welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let a client in, and end its connection."""
    writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"headers":true}\r\n')
    pongs = 0
    with suppress(ConnectionError):
        while pongs < 2 and (line := await reader.readline()):  # the handshake, and the flush of a connection of ours
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
                pongs += 1
    writer.close()


@asynccontextmanager
async def welcomed() -> AsyncIterator[Link]:
    """A link to a server that ends each connection."""
    server = await asyncio.start_server(_welcome, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    link = Link("eu-1", f"nats://{host}:{port}", "test", Endpoint(f"nats://{host}:{port}", here=True))
    link.start()
    try:
        yield link
    finally:
        await link.stop()
        server.close()
        await server.wait_closed()


async def test_a_backbone_is_connected_to_less_and_less_often_when_it_ends_each_connection() -> None:
    """It was at once, as often as the two machines could: a door's core for whoever declared it."""
    async with welcomed() as link:
        began = time.monotonic()
        await eventually(lambda: link.number >= 5)
        took = time.monotonic() - began
    shortest = sum(RETRY_EVERY * 2**each * 0.5 for each in range(4))  # a slow machine only makes it longer
    assert took >= shortest * 0.95


async def test_a_backbone_is_connected_to_at_once_when_a_connection_that_lasted_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.adapters.nats.link.LASTING", 0.0)
    async with welcomed() as link:
        await eventually(lambda: link.number >= 20)
        assert link._failures == 0


async def test_the_pause_is_bounded_when_a_backbone_is_away_for_long() -> None:
    link = Link("eu-1", "nats://127.0.0.1:1", "test", Endpoint("nats://127.0.0.1:1", here=True))
    pauses = [link._pause() for _ in range(2_000)]
    assert max(pauses) <= LONGEST_PAUSE
    assert min(pauses[100:]) >= LONGEST_PAUSE / 2


async def test_the_home_backbone_is_tried_at_once_again_when_it_was_away() -> None:
    link = Link("local", "nats://127.0.0.1:1", "test")
    assert {link._pause() for _ in range(100)} == {RETRY_EVERY}
