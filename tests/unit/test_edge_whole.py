"""Requests that come whole take a short way: it must answer what the ordinary way answers, and nothing else may take it."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace

import pytest
import uvicorn

from shared.edge import protocol, server
from shared.edge.whole import Head, head_of
from tests.unit.doors import BATCH, BINARY, STRUCTURED, Doorway, event
from tests.waiting import eventually


class Counted(Doorway):
    """A door that counts what came whole."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = 0
        answer = self.door.whole

        async def counting(head: Head, body: bytes, client: tuple[str, int] | None) -> bytes:
            self.whole += 1
            return await answer(head, body, client)

        self.door.whole = counting  # type: ignore[method-assign]


class Served:
    """A door on a port."""

    def __init__(self, doorway: Counted, running: uvicorn.Server, port: int) -> None:
        self.doorway, self.server, self.port = doorway, running, port

    async def send(self, *parts: bytes, answers: int = 1) -> list[tuple[int, dict[bytes, bytes], bytes]]:
        """The answers to what is sent: each part by itself, the next when the server has read the last."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                if part is not parts[-1]:
                    await self._read_by_the_server(part)
            return [await read_answer(reader) for _ in range(answers)]
        finally:
            writer.close()

    async def _read_by_the_server(self, part: bytes) -> None:
        await eventually(lambda: any(connection._head >= len(part) for connection in connections(self.server)))


def connections(running: uvicorn.Server) -> list[protocol.BoundedProtocol]:
    return [connection for connection in running.server_state.connections if isinstance(connection, protocol.BoundedProtocol)]


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of the next answer."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    line, *lines = head[:-4].split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines)
    return int(line.split()[1]), headers, await reader.readexactly(int(headers[b"content-length"]))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    doorway = Counted()
    listening = server.listen("127.0.0.1", 0)
    config = uvicorn.Config(
        doorway.door, http=protocol.BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False
    )
    running = uvicorn.Server(config)
    config.load()
    running.lifespan = config.lifespan_class(config)
    await running.startup([listening])
    try:
        yield Served(doorway, running, listening.getsockname()[1])
    finally:
        doorway.go.set()
        await running.shutdown([listening])


def request(headers: dict[str, str], body: bytes, *lines: str, path: str = "/v1/events") -> bytes:
    named = [f"{name}: {value}" for name, value in headers.items()]
    return (
        "\r\n".join([f"POST {path} HTTP/1.1", "Host: door", *named, *lines, f"Content-Length: {len(body)}"]).encode() + b"\r\n\r\n" + body
    )


def without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


TRACE = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ONE = json.dumps(event()).encode()
TAKEN: dict[str, bytes] = {
    "binary": request(BINARY, b'{"a":1}'),
    "binary without data": request(BINARY, b""),
    "structured": request(STRUCTURED, ONE),
    "batch": request(BATCH, json.dumps([event("1"), event("2"), {"id": "3"}]).encode()),
    "the alias": request(STRUCTURED, ONE, path="/"),
    "keep-alive said": request(STRUCTURED, ONE, "Connection: keep-alive"),
    "a trace": request(STRUCTURED, ONE, TRACE),
    "a hop": request(STRUCTURED, ONE, "Prefer: reply"),
    "no key": request(without(STRUCTURED, "authorization"), ONE),
    "an unknown key": request({**STRUCTURED, "authorization": "Bearer no"}, ONE),
    "two keys": request(STRUCTURED, ONE, "Authorization: Bearer other"),
    "not JSON": request(STRUCTURED, b"{"),
    "nothing of CloudEvents": request(without(STRUCTURED, "content-type"), ONE),
    "compressed": request(STRUCTURED, ONE, "Content-Encoding: gzip"),
}
NOT_TAKEN: dict[str, bytes] = {
    "HTTP/1.0": request(STRUCTURED, ONE).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "the last request": request(STRUCTURED, ONE, "Connection: close"),
    "an expectation": request(STRUCTURED, ONE, "Expect: nothing"),
    "an upgrade": request(STRUCTURED, ONE, "Connection: upgrade", "Upgrade: h2c"),
    "chunked": request(STRUCTURED, b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(ONE), ONE),
    "two lengths": request(STRUCTURED, ONE, f"Content-Length: {len(ONE)}"),
    "a length that is none": request(STRUCTURED, ONE).replace(b"Content-Length: ", b"Content-Length: x"),
    "a folded value": request(STRUCTURED, ONE, "x-a: b\r\n c"),
    "a NUL": request(STRUCTURED, ONE, "x-a: b\0c"),
    "a query": request(STRUCTURED, ONE, path="/v1/events?a=1"),
    "no host": request(STRUCTURED, ONE).replace(b"Host: door\r\n", b""),
    "two hosts": request(STRUCTURED, ONE, "Host: door"),
    "a host that is none": request(STRUCTURED, ONE).replace(b"Host: door", b"Host: do/or"),
}


@pytest.mark.parametrize("name", TAKEN)
async def test_answer_is_the_same_when_a_request_comes_whole_and_in_two_parts(name: str, served: Served) -> None:
    sent = TAKEN[name]
    whole = await served.send(sent)
    assert served.doorway.whole == 1
    apart = await served.send(sent[:20], sent[20:])
    assert served.doorway.whole == 1
    assert unhurried(whole) == unhurried(apart)
    assert whole[0][0] in (200, 202, 207, 400, 401, 415)


def unhurried(answers: list[tuple[int, dict[bytes, bytes], bytes]]) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """The answers without what is made anew for each: the id of a rejected event."""
    return [(status, {name: value for name, value in headers.items() if name != b"ce-id"}, body) for status, headers, body in answers]


@pytest.mark.parametrize("name", NOT_TAKEN)
async def test_request_goes_the_ordinary_way_when_its_head_is_out_of_the_ordinary(name: str, served: Served) -> None:
    await served.send(NOT_TAKEN[name])
    assert served.doorway.whole == 0
    assert (await served.send(TAKEN["structured"]))[0][0] == 202


@pytest.mark.parametrize("name", ["no host", "two hosts", "a host that is none"])
@pytest.mark.parametrize("before", [b"", TAKEN["structured"]], ids=["first", "behind another"])
async def test_request_is_refused_and_its_event_not_taken_when_it_does_not_name_one_host(name: str, before: bytes, served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    if before:
        writer.write(before)
        assert (await read_answer(reader))[0] == 202
    writer.write(NOT_TAKEN[name])
    status, _, body = await read_answer(reader)
    assert (status, json.loads(body)["errors"][0]["pointer"]) == (400, "Host")
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    assert len(served.doorway.submitted) == bool(before)


@pytest.mark.parametrize("host", ["door:80", "[::1]:8080", "a.b-c_d", ""])
async def test_event_is_taken_when_its_host_is_written_in_another_way(host: str, served: Served) -> None:
    sent = TAKEN["structured"].replace(b"Host: door", f"Host: {host}".encode())
    assert (await served.send(sent))[0][0] == 202
    assert served.doorway.whole == 1
    assert (await served.send(sent.replace(b"/events", b"/events?a=1")))[0][0] == 202


async def test_event_is_taken_when_http_1_0_names_no_host(served: Served) -> None:
    sent = NOT_TAKEN["no host"].replace(b"HTTP/1.1", b"HTTP/1.0")
    assert (await served.send(sent))[0][0] == 202


@pytest.mark.parametrize(
    "sent",
    [TAKEN["structured"], TAKEN["not JSON"], NOT_TAKEN["a query"], NOT_TAKEN["no host"]],
    ids=["whole", "refused", "ordinary", "no HTTP"],
)
async def test_answer_says_when_it_was_made_whichever_way_it_went(sent: bytes, served: Served) -> None:
    """As the server's clock has it then: it looks every second."""
    await served.server.on_tick(0)
    for _ in range(2):
        ((_, headers, _),) = await served.send(sent)
        assert headers[b"date"] == dict(served.server.server_state.default_headers)[b"date"]
        served.server.server_state.default_headers = [(b"date", b"Fri, 27 Nov 2026 18:08:13 GMT")]


@pytest.mark.parametrize("place", range(1, len(TAKEN["structured"]), 37))
async def test_event_is_taken_once_when_its_request_is_cut_anywhere(place: int, served: Served) -> None:
    sent = TAKEN["structured"]
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent[:place])
    await eventually(lambda: bool(served.server.server_state.connections))
    writer.write(sent[place:] + sent)
    answers = [await read_answer(reader) for _ in range(2)]
    writer.close()
    assert [status for status, _, _ in answers] == [202, 202]
    assert len(served.doorway.submitted) == 2


async def test_requests_are_answered_in_order_when_they_come_behind_one_another(served: Served) -> None:
    bodies = [json.dumps(event(f"e{number}")).encode() for number in range(40)]
    sent = [request(STRUCTURED, body) for body in bodies]
    served.doorway.go.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent[0])
    await eventually(lambda: len(served.doorway.submitted) == 1)
    writer.write(b"".join(sent[1:]))
    await writer.drain()
    served.doorway.go.set()
    answers = [await read_answer(reader) for _ in sent]
    writer.close()
    assert {status for status, _, _ in answers} == {202}
    assert [message.event_id for message in served.doorway.submitted] == [f"e{number}" for number in range(40)]
    assert len({json.loads(body)["id"] for _, _, body in answers}) == 40


async def test_requests_are_answered_when_each_read_ends_in_the_head_of_the_next(served: Served) -> None:
    sent = [request(STRUCTURED, json.dumps(event(f"e{number}")).encode(), "x-pad: " + "p" * 6000) for number in range(20)]
    cuts = [0, *(sum(map(len, sent[:count])) + 3000 for count in range(1, len(sent))), sum(map(len, sent))]
    stream = b"".join(sent)
    assert len(stream) > protocol.HEAD_BYTES
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    for start, end in itertools.pairwise(cuts):
        writer.write(stream[start:end])
        assert (await read_answer(reader))[0] == 202
    writer.close()
    assert [message.event_id for message in served.doorway.submitted] == [f"e{number}" for number in range(20)]


async def test_head_is_refused_when_it_is_too_large_behind_another_request(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(TAKEN["structured"] + b"POST /v1/events HTTP/1.1\r\n")
    assert (await read_answer(reader))[0] == 202
    for number in range(protocol.HEAD_BYTES // 8000 + 1):
        writer.write(f"x-{number}: {'p' * 8000}\r\n".encode())
    assert (await read_answer(reader))[0] == 431
    writer.close()


async def test_answer_in_hand_is_sent_when_the_server_stops(served: Served) -> None:
    served.doorway.go.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(TAKEN["structured"])
    await eventually(lambda: len(served.doorway.submitted) == 1)
    stopping = asyncio.create_task(served.server.shutdown())
    await eventually(lambda: any(connection._last for connection in connections(served.server)))
    assert not stopping.done()
    served.doorway.go.set()
    status, headers, _ = await read_answer(reader)
    assert (status, headers[b"connection"]) == (202, b"close")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await asyncio.wait_for(stopping, 5)


@pytest.mark.parametrize("sent", [TAKEN["structured"], NOT_TAKEN["a query"]], ids=["whole", "the ordinary way"])
async def test_request_on_its_way_is_answered_when_the_server_stops(served: Served, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is idle by all that the server knows."""
    monkeypatch.setattr(protocol, "LAST_CALL", 60.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent)
    assert b"connection" not in (await read_answer(reader))[1]
    stopping = asyncio.create_task(served.server.shutdown())
    await eventually(lambda: any(connection._last for connection in connections(served.server)))
    writer.write(sent)
    status, headers, _ = await read_answer(reader)
    assert (status, headers[b"connection"]) == (202, b"close")
    assert await asyncio.wait_for(reader.read(), 30) == b""
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
    stopping = asyncio.create_task(served.server.shutdown())
    await eventually(lambda: any(connection._last for connection in connections(served.server)))
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


async def test_connection_is_closed_when_nothing_comes_behind_a_whole_request(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.server.config.timeout_keep_alive = 0.2  # type: ignore[assignment]
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(TAKEN["structured"])
    assert (await read_answer(reader))[0] == 202
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_memory_is_bounded_when_a_client_sends_and_never_reads(served: Served) -> None:
    """It stops being read as soon as its answers are not taken."""
    _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    sent = request(BATCH, json.dumps([event(str(number)) for number in range(200)]).encode())
    for _ in range(400):
        writer.write(sent)
    (connection,) = connections(served.server)
    await eventually(lambda: connection.flow.write_paused)
    assert len(connection._behind) < 2 * 256 * 1024
    taken = len(served.doorway.submitted)
    assert taken < 400 * 200
    writer.transport.abort()


READ: list[Callable[[bytes], bytes]] = [
    bytes.lower,
    bytes.upper,
    lambda head: head.replace(b": ", b":"),
    lambda head: head.replace(b"\r\n", b"\n"),
]


@pytest.mark.parametrize("change", range(len(READ)))
async def test_head_is_taken_only_as_llhttp_reads_it(change: int, served: Served) -> None:
    head, _, body = TAKEN["structured"].partition(b"\r\n\r\n")
    line, _, lines = head.partition(b"\r\n")
    sent = line + b"\r\n" + READ[change](lines).replace(b"BEARER SB_UNIT", b"BEARER sb_unit") + b"\r\n\r\n" + body
    read = head_of(sent, len(sent) - len(body))
    assert (read is None) == (b"\r\n" not in READ[change](lines))
    if read is not None:
        assert read.length == len(body)
        assert [name for name, _ in read.headers] == [b"host", b"authorization", b"content-type", b"content-length"]
        assert (await served.send(sent))[0][0] == 202
