"""A door on a port, under the server's own protocol, and requests as bytes: those that are taken whole, and those that aren't."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn

from shared.edge import protocol, server
from shared.edge.whole import Client, Head
from tests.unit.doors import BATCH, BINARY, STRUCTURED, Doorway, event
from tests.waiting import eventually


class Counted(Doorway):
    """A door that counts what came whole."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = 0
        take = self.door.whole

        def counting(head: Head, body: bytes, client: Client, answer: Callable[[bytes], None]) -> None:
            self.whole += 1
            take(head, body, client, answer)

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
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    line, *lines = head[:-4].split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines)
    return int(line.split()[1]), headers, await reader.readexactly(int(headers[b"content-length"]))


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    """A door on a port of its own, under our protocol."""
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
