"""Asking JetStream's API: this server's, or that of another JetStream domain which it is joined to."""

import asyncio
from typing import TypeVar

import msgspec

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.replies import Answer, Lost

API = "$JS.API"
ANSWER_WITHIN = 5.0  # seconds, where nobody says otherwise
LARGEST = 1024 * 1024  # bytes of an answer that has no message in it; some KB are usual, and read they take twenty times as much memory

T = TypeVar("T")


async def asked(
    connection: Connection,
    method: str,
    body: dict[str, object],
    shape: type[T],
    deadline: float | None = None,
    api: str = API,
    largest: float = LARGEST,
) -> T:
    """What JetStream's API answers to a request, until `deadline` (loop time).

    Raises Lost where it doesn't answer in time, where there is none, and where the answer can't be read, or has more than `largest` bytes:
    who answers may be anybody's server.
    """
    payload, answer = msgspec.json.encode(body), Answer()
    until = asyncio.get_running_loop().time() + ANSWER_WITHIN if deadline is None else deadline
    await connection.ask(answer, lambda reply: f"PUB {api}.{method} {reply}.0 {len(payload)}\r\n".encode() + payload + b"\r\n", until)
    if answer.data is None:
        raise Lost(connection.gone or "JetStream does not answer")
    if not answer.data:
        raise Lost("the server has no JetStream, or it is not up yet")
    if len(answer.data) > largest:
        raise Lost(f"JetStream's answer has {len(answer.data)} bytes")
    try:
        return msgspec.json.decode(answer.data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Lost(f"JetStream's answer can't be read: {error}") from error
