"""The WebSocket door at its edges: whose pages are let in by setting, and what becomes of what was taken when the server stops."""

import asyncio
import itertools
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from shared.domain.message import uuid_text
from shared.domain.principal import Grant
from tests.integration.doors.doors import logged
from tests.integration.doors.sockets import SWITCHBOARD, event, opened, receipts, text
from tests.integration.fronts import FrontProcess, environment, fronting, new_key
from tests.servers import Databases
from tests.waiting import eventually

ORIGINS = "https://app.example,https://Other.example:8443"


@pytest.fixture
def front(tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str) -> Iterator[FrontProcess]:
    """One of the test's own, which lets in the pages of ORIGINS."""
    settings = environment(tmp_path, redis_url, nats_url, database) | {"SWITCHBOARD_WEBSOCKET_ORIGINS": ORIGINS}
    with fronting(tmp_path, settings, org) as running:
        yield running


async def answered(front: FrontProcess, **headers: str) -> int:
    """The status of an opening request; 101 where its client is let in, and may publish."""
    url = f"ws://127.0.0.1:{front.port}/v1/events"
    try:
        async with connect(url, additional_headers=headers, subprotocols=[SWITCHBOARD]) as socket:
            await socket.send(text(event()))
            assert [one["status"] for one in await receipts(socket)] == ["accepted"]
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_pages_of_other_hosts_are_let_in_when_the_setting_names_their_origins(front: FrontProcess) -> None:
    signed = front.client.post("/v1/session", json={"key": front.key})
    cookie = signed.headers["set-cookie"].partition(";")[0]
    for origin, status in (
        ("https://app.example", 101),
        ("https://other.example:8443", 101),
        (front.url, 101),
        ("http://app.example", 403),
        ("https://app.example:444", 403),
        ("https://other.example", 403),
        ("https://app.example.evil.example", 403),
        ("null", 403),
        ("", 403),
    ):
        assert await answered(front, **front.bearer, origin=origin) == status, origin
        assert await answered(front, cookie=cookie, origin=origin) == status, origin
    assert await answered(front, origin="https://app.example") == 401  # a page's origin is no credential


async def test_receipts_of_what_was_taken_come_when_the_server_is_told_to_stop(
    tmp_path: Any, redis_url: str, nats_url: str, databases: Databases, database: str, org: str
) -> None:
    settings = environment(tmp_path, redis_url, nats_url, database)
    key = await new_key(database, org, grants=(Grant("publish"),))
    with fronting(tmp_path, settings, org, key) as front:
        async with opened(front) as socket:
            await socket.send(text(*(event() for _ in range(500))))
            await socket.send(text(event()))
            front.process.send_signal(signal.SIGTERM)
            counts = []
            try:
                while True:
                    counts.append(len(await receipts(socket)))
            except ConnectionClosed:
                assert socket.close_code == 1012
            assert counts in ([500, 1], [500], [])  # whole frames or nothing, in order
        assert front.process.wait(30) == 0


async def test_nothing_that_was_answered_is_lost_when_the_server_is_told_to_stop(front: FrontProcess, redis_url: str) -> None:
    told: list[str] = []

    async def send(socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            for _ in itertools.count():
                await socket.send(text(event()))
                await asyncio.sleep(0)

    async def hear(socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                told.extend(one["id"] for one in await receipts(socket))

    async with opened(front) as first, opened(front) as second, opened(front) as third:
        sockets = (first, second, third)
        both = [asyncio.create_task(side(socket)) for socket in sockets for side in (send, hear)]
        await eventually(lambda: len(told) > 500)
        front.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await asyncio.gather(*both)
        assert [socket.close_code for socket in sockets] == [1012] * 3
    assert front.process.wait(30) == 0
    kept = {uuid_text(record.message.id) for records in logged(redis_url).values() for record in records}
    assert set(told) <= kept
