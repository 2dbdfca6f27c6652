"""uvicorn as we run it, on a loopback port: senders that never finish."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn

from shared.edge import protocol, server
from tests.unit.doors import BINARY, Doorway

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in BINARY.items())


@asynccontextmanager
async def serving(doorway: Doorway) -> AsyncIterator[int]:
    """The door on a port of its own."""
    listening = server.listen("127.0.0.1", 0)
    config = uvicorn.Config(doorway.door, http=protocol.BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False)
    running = uvicorn.Server(config)
    config.load()
    running.lifespan = config.lifespan_class(config)
    await running.startup([listening])
    try:
        yield listening.getsockname()[1]
    finally:
        await running.shutdown([listening])


async def answer(port: int, sent: bytes) -> bytes:
    """All that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"POST / HT", HEAD], ids=["nothing", "half a line", "half a head"])
async def test_connection_is_closed_when_the_head_does_not_come(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    async with serving(Doorway()) as port:
        assert await answer(port, sent) == b""


async def test_answer_is_408_and_the_connection_closed_when_the_body_does_not_come() -> None:
    async with serving(Doorway(deadline=0.1)) as port:
        answered = await answer(port, HEAD + b"content-length: 10\r\n\r\n{")
        assert answered.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answered


async def test_body_is_read_when_an_upgrade_is_asked_for() -> None:
    doorway = Doorway()
    async with serving(doorway) as port:
        await answer(port, HEAD + b"connection: upgrade, close\r\nUpgrade: h2c\r\ncontent-length: 2\r\n\r\n{}")
    assert doorway.submitted[0].body == b"{}"
