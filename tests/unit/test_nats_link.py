"""Backbones that anybody with a grant may have declared, and that nobody answers for: what trying costs, on real sockets."""

import asyncio
import time

from shared.adapters.nats.connection import RETRY_EVERY
from shared.adapters.nats.endpoint import Endpoint
from shared.adapters.nats.link import LONGEST_PAUSE, Link


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


async def test_the_pause_is_bounded_when_a_backbone_is_away_for_long() -> None:
    link = Link("eu-1", "nats://127.0.0.1:1", "test", Endpoint("nats://127.0.0.1:1", here=True))
    pauses = [link._pause() for _ in range(2_000)]
    assert max(pauses) <= LONGEST_PAUSE
    assert min(pauses[100:]) >= LONGEST_PAUSE / 2


async def test_the_home_backbone_is_tried_at_once_again_when_it_was_away() -> None:
    link = Link("local", "nats://127.0.0.1:1", "test")
    assert {link._pause() for _ in range(100)} == {RETRY_EVERY}
