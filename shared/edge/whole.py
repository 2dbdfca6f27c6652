"""Requests that come whole: a POST of events whose head and body arrive in one read. Nearly all do, and they need no ASGI.

Measured: ASGI's scope, events and task bookkeeping are a third of what a small request costs. Whatever is out of the ordinary in a head
goes the ordinary way, good or bad, so a shortcut here may pass on too much and must never take what llhttp would not. The head is
read by llhttp here as well; the same bytes mean the same, so what it said of them is kept.
"""

from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus

import httptools
import msgspec

from shared.edge.asgi import JSON, Header, Scope
from shared.edge.refusing import has_host

LONGEST = 4_096  # bytes of a head that is kept: others are read each time, by the ordinary way
KEPT = 1_024  # heads
EVENTS_LINES = {b"POST /v1/events HTTP/1.1\r\n": "/v1/events", b"POST / HTTP/1.1\r\n": "/"}
ORDINARY_WAY = (b"transfer-encoding", b"expect", b"upgrade", b"connection")  # what these say is not read here
KEEP_ALIVE: Header = (b"connection", b"keep-alive")


class Head(msgspec.Struct, frozen=True, gc=False):
    """The head of a POST of events: `headers` as in ASGI, `fields` the last value of each name, `length` the body's in bytes."""

    headers: list[Header]
    fields: dict[bytes, bytes]
    length: int
    scope: Scope  # what of ASGI's the rest of the edge looks at


Client = tuple[str, int] | None  # address and port, where there are
Whole = Callable[[Head, bytes, Client, Callable[[bytes], None]], None]  # head, body, client, what gets the whole response; raises nothing


class _Reading:
    """What llhttp finds in a head."""

    def __init__(self) -> None:
        self.headers: list[Header] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True


def head_of(data: bytes, end: int) -> Head | None:
    """The head that ends before `end` in `data`, where it is one that is taken whole; None for every other."""
    return _read(data[:end]) if end <= LONGEST else None


@lru_cache(maxsize=KEPT)
def _read(head: bytes) -> Head | None:
    path = EVENTS_LINES.get(head[: head.find(b"\n") + 1])
    if path is None:
        return None
    reading = _Reading()
    parser = httptools.HttpRequestParser(reading)
    try:
        parser.feed_data(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    fields = dict(reading.headers)
    if not reading.complete or not parser.should_keep_alive() or sum(name == b"content-length" for name, _ in reading.headers) != 1:
        return None
    if not has_host(reading.headers):
        return None
    if any(name in ORDINARY_WAY and (name, value.lower()) != KEEP_ALIVE for name, value in reading.headers):
        return None
    scope = {"type": "http", "method": "POST", "path": path, "scheme": "http", "headers": reading.headers}
    return Head(reading.headers, fields, int(fields[b"content-length"]), scope)


ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


def response(status: int, body: bytes, headers: list[Header]) -> bytes:
    """A whole response. `headers` are ours, or values that llhttp let in: none has a line break."""
    if status == 202 and len(headers) == 1 and headers[0] is JSON:
        return ACCEPTED % len(body) + body
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    phrase = HTTPStatus(status).phrase.encode()
    return b"HTTP/1.1 %d %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, phrase, lines, len(body), body)
