"""ASGI in types, and answers as ASGI messages (ASGI spec 3.0, "HTTP & WebSocket ASGI Message Format" 2.3)."""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
PROBLEM_JSON: Header = (b"content-type", b"application/problem+json")
PLAIN: Header = (b"content-type", b"text/plain; charset=utf-8")
NO_STORE: Header = (b"cache-control", b"no-store")


async def answer(send: Send, status: int, body: bytes, headers: Iterable[Header]) -> None:
    """Send a whole response; `content-length` is added."""
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def header(scope: Scope, name: bytes) -> bytes | None:
    """The value of the first header of that name (lower case), None where there is none."""
    headers: Iterable[Header] = scope["headers"]
    return next((value for key, value in headers if key == name), None)


def json_bytes(value: object) -> bytes:
    """Compact JSON, for answers off the fast path."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
