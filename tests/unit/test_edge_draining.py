"""A server that stops: what it has read is answered, the last answer says so, and nobody is cut off."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from shared.edge import protocol
from tests.unit.doors import STRUCTURED, event
from tests.unit.served import NOT_TAKEN, TAKEN, Served, connections, read_answer, request, serving
from tests.waiting import eventually


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


async def begin_to_stop(served: Served) -> asyncio.Task[None]:
    """The stop of a server, once a connection knows of it."""
    stopping = asyncio.create_task(served.server.shutdown())
    await eventually(lambda: any(connection._last for connection in connections(served.server)))
    return stopping


async def has_its_last_answer(reader: asyncio.StreamReader) -> None:
    status, headers, _ = await read_answer(reader)
    assert (status, headers[b"connection"]) == (202, b"close")
    assert await asyncio.wait_for(reader.read(), 30) == b""


async def test_answer_in_hand_is_sent_when_the_server_stops(served: Served) -> None:
    served.doorway.go.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(TAKEN["structured"])
    await eventually(lambda: len(served.doorway.submitted) == 1)
    stopping = await begin_to_stop(served)
    assert not stopping.done()
    served.doorway.go.set()
    await has_its_last_answer(reader)
    writer.close()
    await asyncio.wait_for(stopping, 30)


@pytest.mark.parametrize("sent", [TAKEN["structured"], NOT_TAKEN["a query"]], ids=["whole", "the ordinary way"])
async def test_request_on_its_way_is_answered_when_the_server_stops(served: Served, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is idle by all that the server knows."""
    monkeypatch.setattr(protocol, "LAST_CALL", 60.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent)
    assert b"connection" not in (await read_answer(reader))[1]
    stopping = await begin_to_stop(served)
    writer.write(sent)
    await has_its_last_answer(reader)
    writer.close()
    await asyncio.wait_for(stopping, 30)


@pytest.mark.parametrize("first", [TAKEN["structured"], NOT_TAKEN["a query"]], ids=["whole", "the ordinary way"])
async def test_all_that_was_read_is_answered_and_the_last_answer_says_so_when_the_server_stops(served: Served, first: bytes) -> None:
    sent = [first, *(request(STRUCTURED, json.dumps(event(f"e{number}")).encode()) for number in range(20))]
    served.doorway.go.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent[0])
    await eventually(lambda: len(served.doorway.submitted) == 1)
    writer.write(b"".join(sent[1:]))
    (connection,) = connections(served.server)
    await eventually(lambda: len(connection._behind) == sum(map(len, sent[1:])) or len(connection.pipeline) == 20)
    stopping = asyncio.create_task(served.server.shutdown())
    await eventually(lambda: connection._last)
    served.doorway.go.set()
    answers = [await read_answer(reader) for _ in sent]
    assert {status for status, _, _ in answers} == {202}
    assert [headers.get(b"connection") for _, headers, _ in answers] == [None] * 20 + [b"close"]
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    await asyncio.wait_for(stopping, 30)


@pytest.mark.parametrize("place", [10, 100, len(TAKEN["structured"]) - 5], ids=["line", "headers", "body"])
async def test_request_is_answered_when_the_server_stops_in_the_middle_of_it(
    served: Served, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long its rest takes, within the bounds that heads and bodies have."""
    monkeypatch.setattr(protocol, "LAST_CALL", 0.01)
    sent = TAKEN["structured"]
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent[:place])
    await eventually(lambda: any(connection._inside for connection in connections(served.server)))
    (connection,) = connections(served.server)
    stopping = asyncio.create_task(served.server.shutdown())
    await eventually(lambda: connection._last)
    first = connection._called
    await eventually(lambda: connection._called is not first)  # the last call is over
    writer.write(sent[place:])
    status, headers, _ = await read_answer(reader)
    assert (status, headers[b"connection"]) == (202, b"close")
    writer.close()
    await asyncio.wait_for(stopping, 30)


async def test_connection_has_one_answer_when_it_is_made_while_the_server_stops(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepted, when the others had been told: nobody would tell it."""
    monkeypatch.setattr(protocol, "LAST_CALL", 60.0)
    served.doorway.door.resources = SimpleNamespace(draining=True)  # type: ignore[attr-defined]  # as Edge has them
    ((status, headers, _),) = await served.send(TAKEN["structured"])
    assert (status, headers[b"connection"]) == (202, b"close")


@pytest.mark.parametrize("before", [b"", TAKEN["structured"], NOT_TAKEN["a query"]], ids=["new", "whole", "the ordinary way"])
async def test_idle_connection_ends_when_the_server_stops_and_its_client_keeps_it(
    served: Served, before: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LAST_CALL", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(before)
    if before:
        await read_answer(reader)
    await eventually(lambda: len(connections(served.server)) == 1)
    await asyncio.wait_for(served.server.shutdown(), 30)
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_client_is_not_cut_off_when_it_sends_behind_its_last_answer(served: Served) -> None:
    """More than the server reads at once: closing with some of it unread would be a reset, and the answer may go with it."""
    served.doorway.go.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(NOT_TAKEN["a query"])
    await eventually(lambda: len(served.doorway.submitted) == 1)
    stopping = await begin_to_stop(served)
    writer.write(b"POST /v1/events HTTP/1.1\r\ncontent-length: 8000000\r\n")  # a head that isn't whole
    served.doorway.go.set()
    status, headers, _ = await read_answer(reader)
    assert (status, headers[b"connection"]) == (202, b"close")
    writer.write(b"x: y\r\n" * 100_000)
    await writer.drain()
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    await asyncio.wait_for(stopping, 30)


async def test_stop_waits_when_the_client_of_a_whole_request_is_gone(served: Served) -> None:
    served.doorway.go.clear()
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(TAKEN["structured"])
    await eventually(lambda: len(served.doorway.submitted) == 1)
    writer.transport.abort()
    await eventually(lambda: not served.server.server_state.connections)
    assert len(served.server.server_state.tasks) == 1
    served.doorway.go.set()
    await eventually(lambda: not served.server.server_state.tasks)
