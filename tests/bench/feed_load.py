"""Clients of the feed that read all they are sent, and count the messages: as cheaply as can be, a hundred share a core with the rest."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast
from urllib.parse import urlsplit

_HEAD = (
    "GET /v1/feed?verdict=accepted HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer %s\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: %s\r\nsec-websocket-protocol: switchboard.feed.v1\r\n\r\n"
)
_MESSAGE = b'"event_id":"'  # once in each message, and nowhere else in the bench's events
_PING = 0x89


class Client(asyncio.Protocol):
    """One client: how many messages it was sent."""

    def __init__(self, head: bytes) -> None:
        self.messages = 0
        self.watching = self.lost = self._open = False
        self._head, self._buffer = head, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self._open, self._buffer = head.startswith(b"HTTP/1.1 101"), rest
        while (whole := _whole(self._buffer)) is not None:
            start, ending = whole
            if self._buffer[0] == _PING:
                self._transport.write(bytes((0x8A, 0x80 | ending - start)) + b"\0\0\0\0" + self._buffer[start:ending])
            self.messages += self._buffer.count(_MESSAGE, start, ending)
            self.watching = True  # its first frame says from where on
            self._buffer = self._buffer[ending:]

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True

    def close(self) -> None:
        self._transport.abort()


def _whole(buffer: bytes) -> tuple[int, int] | None:
    """Where the first frame's payload starts and ends, once all of it is there."""
    if len(buffer) < 2:
        return None
    length, start = buffer[1], 2
    if length > 125:
        start += 2 if length == 126 else 8
        length = int.from_bytes(buffer[2:start])
    return (start, start + length) if len(buffer) >= start + length else None


@asynccontextmanager
async def watching(url: str, key: str, clients: int) -> AsyncIterator[list[Client]]:
    """So many of them, connected."""
    place, loop = urlsplit(url), asyncio.get_running_loop()
    assert place.hostname is not None
    assert place.port is not None
    connected: list[Client] = []
    try:
        for _ in range(clients):
            head = _HEAD % (place.netloc, key, base64.b64encode(secrets.token_bytes(16)).decode())
            _, client = await loop.create_connection(partial(Client, head.encode()), place.hostname, place.port)
            connected.append(client)
        yield connected
    finally:
        for client in connected:
            client.close()
