"""A client that takes nothing of its answers, or doesn't end what it began, holds its connection for a while only: anybody can be one."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import Request

from functions.websocket import session
from functions.websocket.session import Sessions
from shared.domain.errors import Malformed, TooLarge
from shared.edge import one_write, protocol
from shared.edge.asgi import Event
from shared.edge.body import Deadlines
from shared.edge.flight import Flight
from shared.edge.one_write import OneWrite
from shared.session import Cookies
from tests.unit.doors import BATCH, event
from tests.unit.served import Served, connections, request, serving
from tests.unit.test_session_principals import State
from tests.waiting import eventually

MANY = request(BATCH, json.dumps([event(str(number)) for number in range(200)]).encode())
ANSWERS = {"whole": MANY, "the ordinary way": MANY.replace(b"/v1/events", b"/v1/events?a=b")}


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


async def never_reading(served: Served, sent: bytes) -> tuple[protocol.BoundedProtocol, asyncio.StreamWriter]:
    """The server's side of a connection whose client has taken none of its answers, and the client's."""
    _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(400):
        writer.write(sent)
    await eventually(lambda: any(each.flow.write_paused for each in connections(served.server)))
    return connections(served.server)[0], writer


@pytest.mark.parametrize("way", ANSWERS)
async def test_connection_ends_when_its_client_takes_nothing(served: Served, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "UNREAD", 0.2)
    _, writer = await never_reading(served, ANSWERS[way])
    await eventually(lambda: not connections(served.server))
    writer.transport.abort()


async def test_connection_goes_on_when_its_client_takes_something(served: Served) -> None:
    connection, writer = await never_reading(served, ANSWERS["whole"])
    left = connection.transport.get_write_buffer_size()
    connection._look_unread(left + 1)  # as it was a while ago
    assert not connection.transport.is_closing()
    assert connection._unread is not None
    assert not connection._unread.cancelled()
    connection._look_unread(left)
    await eventually(lambda: not connections(served.server))
    writer.transport.abort()


async def test_closing_is_over_when_the_client_takes_nothing_of_what_was_written_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_write, "UNREAD", 0.2)
    ours, theirs = socket.socketpair()
    lost = asyncio.Event()

    class Ours(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            lost.set()

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(Ours, sock=ours)
    one = OneWrite(transport, loop)
    one.write(b"x" * 8 * 1024 * 1024)
    one.close()
    assert transport.get_write_buffer_size() > 0
    await asyncio.wait_for(lost.wait(), 30)
    theirs.close()


def signing_in(*parts: bytes) -> Request:
    """A sign-in of which only these parts come."""
    coming = iter(parts)

    async def receive() -> Event:
        part = next(coming, None)
        if part is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": part, "more_body": True}

    scope: dict[str, Any] = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    return Request(scope, receive)


async def test_sign_in_is_refused_when_its_body_does_not_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_deadlines", Deadlines(0.2))
    sessions = Sessions(State(), Cookies(lambda: (b"s" * 32,)), None, Flight())  # type: ignore[arg-type]  # for sign-outs
    with pytest.raises(Malformed) as raised:
        await sessions.sign_in(signing_in(b"{"))
    assert raised.value.status == 408
    with pytest.raises(TooLarge):
        await sessions.sign_in(signing_in(b" " * 3_000, b" " * 3_000))
