"""A load generator for the WebSocket door: so many frames in flight on each connection, bounded in count and in time."""

import asyncio
import base64
import secrets
import time
from collections.abc import Callable, Iterator
from typing import cast
from urllib.parse import urlsplit

_HEAD = (
    "GET /v1/events HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer %s\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: %s\r\nsec-websocket-protocol: switchboard.events.v1\r\n\r\n"
)


def frame(text: bytes) -> bytes:
    """A client's text frame. Its mask is zero: masking is the sender's cost, and not what is measured."""
    length = len(text)
    head = bytes((0x81, 0x80 | length)) if length < 126 else b"\x81\xfe" + length.to_bytes(2) if length < 65_536 else b""
    return (head or b"\x81\xff" + length.to_bytes(8)) + b"\0\0\0\0" + text


class _Client(asyncio.Protocol):
    """One connection that keeps `window` frames in flight."""

    def __init__(self, head: bytes, frames: Iterator[bytes], window: int, done: Callable[[Exception | None], None]) -> None:
        self._head, self._frames, self._window, self._done = head, frames, window, done
        self._buffer = b""
        self._flying = self.answered = self.refused = 0
        self.why = b""  # the first refusal
        self._open = self._finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101") or (b"\r\n\r\n" not in self._buffer and len(self._buffer) > 4_096):
                self._done(ConnectionError(f"no WebSocket: {head[:100]!r}"))
                return
            self._open, self._buffer = True, rest
        place = self._take()
        self._buffer = self._buffer[place:]
        self._fill()

    def _take(self) -> int:
        """Count the whole answers; where the rest begins."""
        buffer, place = self._buffer, 0
        while len(buffer) - place >= 2:
            length, start = buffer[place + 1], place + 2
            if length > 125:
                wide = 2 if length == 126 else 8
                length, start = int.from_bytes(buffer[start : start + wide]), start + wide
            if len(buffer) < start + length:
                break
            if buffer[place] == 0x81:
                self.answered += 1
                self._flying -= 1
                answer = buffer[start : start + length]
                if b'"problem"' in answer:
                    self.refused += 1
                    self.why = self.why or answer[:500]
            elif buffer[place] == 0x89:  # a ping: who doesn't answer is closed
                self._transport.write(bytes((0x8A, 0x80 | length)) + b"\0\0\0\0" + buffer[start : start + length])
            place = start + length
        return place

    def _fill(self) -> None:
        more: list[bytes] = []
        while self._flying < self._window and (following := next(self._frames, None)) is not None:
            more.append(following)
            self._flying += 1
        if more:
            self._transport.write(b"".join(more))
        elif not self._flying and not self._finished:
            self._finished = True
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._done(None if self._finished else error or ConnectionError("closed by the server"))


async def send(url: str, key: str, frames: Iterator[bytes], *, connections: int, window: int, deadline: float = 120) -> tuple[int, float]:
    """Frames answered and wall seconds. Raises RuntimeError where an event was refused, TimeoutError, and what broke a connection."""
    place, loop = urlsplit(url), asyncio.get_running_loop()
    assert place.hostname is not None
    assert place.port is not None
    finished: list[asyncio.Future[None]] = []
    clients: list[_Client] = []

    def client() -> _Client:
        end: asyncio.Future[None] = loop.create_future()
        finished.append(end)

        def done(error: Exception | None) -> None:
            if not end.done():
                end.set_exception(error) if error else end.set_result(None)

        head = _HEAD % (place.netloc, key, base64.b64encode(secrets.token_bytes(16)).decode())
        clients.append(_Client(head.encode(), frames, window, done))
        return clients[-1]

    began = time.perf_counter()
    async with asyncio.timeout(deadline):
        for _ in range(connections):
            await loop.create_connection(client, place.hostname, place.port)
        await asyncio.gather(*finished)
    if refused := [one for one in clients if one.refused]:
        raise RuntimeError(f"{sum(one.refused for one in refused)} frames were refused, one with {refused[0].why.decode()}")
    return sum(one.answered for one in clients), time.perf_counter() - began
