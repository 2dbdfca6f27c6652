"""What the WebSocket door holds in memory: bounded over all connections, and no org's to fill."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from functions.websocket.protocol import FRAME_BYTES, UNFINISHED
from tests.integration.doors.sockets import event, opened, receipts, text
from tests.integration.fronts import FrontProcess, environment, fronting, new_key
from tests.servers import LocalServer
from tests.waiting import eventually

MIB = 1024 * 1024
LARGEST = FRAME_BYTES["/v1/events"]
CLIENTS = 60


@pytest.fixture
def front(tmp_path: Path, own_redis: LocalServer, nats_url: str, database: str, org: str) -> Iterator[FrontProcess]:
    """One of the test's own, on a log that can be paused."""
    settings = environment(tmp_path, own_redis.url, nats_url, database) | {"SWITCHBOARD_LOG_WAIT": "2"}
    with fronting(tmp_path, settings, org) as running:
        yield running


def memory(front: FrontProcess, name: str) -> int:
    """Bytes of the process, by the name that proc(5) has for them: VmRSS, or VmHWM, the most that it was."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{front.process.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def largest() -> bytes:
    """An array of eight events that is nearly as large as a frame may be."""
    return json.dumps([event(data="x" * (MIB - 512)) for _ in range(8)]).encode()


async def answer(socket: ClientConnection, frame: bytes, sending: asyncio.Semaphore) -> str:
    """What a client is told of a frame: the status of its receipts, or the code that it is closed with."""
    try:
        async with sending:
            await socket.send(frame, text=True)
        statuses = {one["status"] for one in await receipts(socket)}
        return "/".join(sorted(statuses))
    except ConnectionClosed:
        return str(socket.close_code)


async def test_memory_is_bounded_when_many_send_the_largest_frames_and_the_log_hangs(front: FrontProcess, own_redis: LocalServer) -> None:
    """Each connection's frame was read, whatever the others held: a hundred clients had 1.2 GB of the process."""
    frame, sending = largest(), asyncio.Semaphore(4)
    assert LARGEST - 64 * 1024 < len(frame) <= LARGEST
    async with opened(front) as first:
        assert await answer(first, frame, sending) == "accepted"
    before = memory(front, "VmRSS")
    own_redis.pause()
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(opened(front)) for _ in range(CLIENTS)]
        asked = [asyncio.create_task(answer(socket, frame, sending)) for socket in sockets]
        await eventually(lambda: sum(task.done() for task in asked) >= CLIENTS // 2)
        own_redis.resume()
        async with asyncio.timeout(60):
            told = set(await asyncio.gather(*asked))
    assert told <= {"accepted", "unavailable", "1013"}
    assert memory(front, "VmHWM") - before < 400 * MIB
    async with opened(front) as last:
        await eventually(lambda: anew(last, sending))


async def anew(socket: ClientConnection, sending: asyncio.Semaphore) -> bool:
    """Whether events are taken."""
    return await answer(socket, text(event()).encode(), sending) == "accepted"


async def test_large_frames_of_other_orgs_are_taken_when_one_org_leaves_as_many_unfinished_as_it_may(
    front: FrontProcess, database: str
) -> None:
    """Eight connections of one org, each with a frame that it never finished, had every other large frame of the process refused."""
    key = await new_key(database, f"{front.org}-2")
    start = Frame(Opcode.TEXT, b" " * (LARGEST - 1), fin=False).serialize(mask=True)
    async with AsyncExitStack() as stack:
        ours = [await stack.enter_async_context(opened(front)) for _ in range(UNFINISHED // LARGEST)]
        for socket in ours:
            socket.transport.write(start)
        await eventually(lambda: any(socket.close_code is not None for socket in ours))
        assert {socket.close_code for socket in ours if socket.close_code is not None} == {1013}
        async with opened(front, authorization=f"Bearer {key}") as theirs:
            assert await answer(theirs, largest(), asyncio.Semaphore()) == "accepted"
