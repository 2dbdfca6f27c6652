"""A load generator for HTTP on loopback: keep-alive connections, one request in flight on each, bounded in count and in time."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import cast
from urllib.parse import urlsplit

import msgspec


class Load(msgspec.Struct):
    """What a run did: requests answered, wall seconds, and how often each status was seen."""

    requests: int
    seconds: float
    statuses: dict[int, int]

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


class _Client(asyncio.Protocol):
    """One connection: sends the next request as soon as the answer to the last one is whole."""

    def __init__(self, requests: Iterator[bytes], statuses: dict[int, int], done: Callable[[Exception | None], None]) -> None:
        self._requests = requests
        self._statuses = statuses
        self._done = done
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        fields = self._buffer[: head + 2].lower()
        found = fields.find(b"content-length:")
        length = int(fields[found + 15 : fields.index(b"\r\n", found)]) if found >= 0 else 0
        if len(self._buffer) < head + 4 + length:
            return
        status = int(self._buffer[9:12])
        self._statuses[status] = self._statuses.get(status, 0) + 1
        self._buffer = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._done(error or (ConnectionError("closed by the server") if self._transport is not None else None))

    def _next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None:
            transport, self._transport = self._transport, None
            transport.close()
        else:
            self._transport.write(request)


async def send(url: str, requests: Iterator[bytes], *, connections: int, deadline: float = 120) -> Load:
    """Send all requests, which are made before, over so many connections. Raises TimeoutError after `deadline` seconds, and what broke a
    connection."""
    place = urlsplit(url)
    assert place.hostname is not None
    assert place.port is not None
    loop = asyncio.get_running_loop()
    statuses: dict[int, int] = {}
    finished: list[asyncio.Future[None]] = []

    def client() -> _Client:
        end: asyncio.Future[None] = loop.create_future()
        finished.append(end)

        def done(error: Exception | None) -> None:
            if not end.done():
                end.set_exception(error) if error else end.set_result(None)

        return _Client(requests, statuses, done)

    requests = iter(list(requests))
    began = time.perf_counter()
    async with asyncio.timeout(deadline):
        for _ in range(connections):
            await loop.create_connection(client, place.hostname, place.port)
        await asyncio.gather(*finished)
    return Load(sum(statuses.values()), time.perf_counter() - began, statuses)
