"""Reading through a stream for the ids of its messages, without their bodies, on this server or on one of another JetStream domain."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from math import inf

import msgspec

from shared.adapters.nats.asking import ANSWER_WITHIN, asked
from shared.adapters.nats.connection import Connection
from shared.adapters.nats.duplicates import NO_MESSAGE
from shared.adapters.nats.replies import ApiError, Lost, Moment

PAGE = 500  # messages asked for at once
MOST = 1_000_000  # messages of a stream: 256 MiB hold fewer, since each has its id and what an event must say
LONGEST_ID = 255  # bytes; one of ours has some 80
FORGOTTEN_S = 60  # after which the server forgets a consumer that nobody pulls from any more
SECOND = 1_000_000_000  # in nanoseconds, the server's unit

Ids = AsyncGenerator[tuple[int, bytes], None]

_ID = re.compile(rb"\r\nNats-Msg-Id: ?([^\r]*)\r\n")


class Unreadable(Lost):
    """A server answers, and won't have this stream read."""


class Endless(Unreadable):
    """A server gives more of it than a stream of ours can have, or is never done."""


class _Consumer(msgspec.Struct):
    num_pending: int = 0
    error: ApiError | None = None


class _Message(msgspec.Struct):
    time: Moment = ""


class _MessageAnswer(msgspec.Struct):
    message: _Message | None = None
    error: ApiError | None = None


async def stored_at(connection: Connection, api: str, stream: str, sequence: int) -> str | None:
    """When the stream took the message that it has under a sequence, as the server tells it; None where it has none. Raises Lost."""
    answer = await asked(connection, f"STREAM.MSG.GET.{stream}", {"seq": sequence}, _MessageAnswer, api=api, largest=inf)  # of it the time
    if answer.message is not None:
        return answer.message.time
    if answer.error is not None and answer.error.err_code == NO_MESSAGE:
        return None
    raise Unreadable(answer.error.description if answer.error else "an answer without a message")


async def ids_from(connection: Connection, api: str, stream: str, start: int, until: int, since: str = "") -> Ids:
    """The sequence and Nats-Msg-Id (empty where it has none of ours) of each message from a sequence, or a time, up to a sequence. Raises
    Lost; Endless where there are more than a stream can have: who gave them may be anybody's server."""
    if start > until:
        return
    name = connection.new_inbox().rpartition(".")[2]
    begins: dict[str, object] = {"deliver_policy": "by_start_sequence", "opt_start_seq": start}
    if since:
        begins = {"deliver_policy": "by_start_time", "opt_start_time": since}
    left = await _consumer(connection, api, stream, name, begins)
    page = _Page(connection, f"{api}.CONSUMER.MSG.NEXT.{stream}.{name}")
    before = count = 0
    try:
        while left:
            for sequence, id, behind in await page.next(min(PAGE, left)):
                left = behind
                if sequence <= before:
                    raise Unreadable(f"{stream} gives {sequence} after {before}")
                before, count = sequence, count + 1
                if count > MOST:
                    raise Endless(f"{stream} has more than {MOST} messages")
                if sequence <= until:
                    yield sequence, id
                if sequence >= until:
                    return
    finally:
        await page.close()
        with suppress(Lost):
            await asked(connection, f"CONSUMER.DELETE.{stream}.{name}", {}, _Consumer, api=api)


async def _consumer(connection: Connection, api: str, stream: str, name: str, begins: dict[str, object]) -> int:
    """Make one that gives headers only; how many messages it has. Raises Lost."""
    config = {
        "name": name,
        "ack_policy": "none",
        "headers_only": True,
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": FORGOTTEN_S * SECOND,
        **begins,
    }
    made = await asked(connection, f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config}, _Consumer, api=api)
    if made.error is not None:
        raise Unreadable(f"{stream} can't be read: {made.error.description}")
    return made.num_pending


class _Page:
    """Some messages of a consumer after the other."""

    def __init__(self, connection: Connection, subject: str) -> None:
        self._connection, self._subject = connection, subject
        self._inbox = connection.new_inbox()
        self._number = connection.take(self._inbox, self._arrived)
        self._found: list[tuple[int, bytes, int]] = []
        self._count = 0
        self._broken = False
        self._over = asyncio.Event()

    async def next(self, count: int) -> list[tuple[int, bytes, int]]:
        """So many messages, which are there: sequence, id, and how many are behind it. Raises Lost where they don't come, or can't be
        read."""
        self._found, self._count = [], count
        self._over.clear()
        body = b'{"batch":%d,"expires":%d}' % (count, ANSWER_WITHIN * SECOND)
        self._connection.send(f"PUB {self._subject} {self._inbox} {len(body)}\r\n".encode() + body + b"\r\n")
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN):
                await self._over.wait()
        if self._broken:
            raise Unreadable("an answer that isn't a consumer's")
        if len(self._found) < count:
            raise Lost(self._connection.gone or f"of {count} messages {len(self._found)} came")
        return self._found

    async def close(self) -> None:
        await self._connection.leave(self._number)

    def _arrived(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        if not reply or len(self._found) >= self._count:  # a status: it gives no more; or more than was asked for
            self._over.set()
            return
        place = reply.split(b".")
        try:
            # $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<of consumer>.<time>.<pending>; newer ones put domain and account before
            sequence, pending = map(int, (place[5], place[8]) if len(place) == 9 else (place[7], place[10]))
        except (ValueError, IndexError):
            self._broken = True
            self._over.set()
            return
        found = _ID.search(headers or b"")
        self._found.append((sequence, b"" if found is None or len(found[1]) > LONGEST_ID else found[1], pending))
        if len(self._found) >= self._count:
            self._over.set()
