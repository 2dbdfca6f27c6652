"""One connection to a NATS server, for as long as it lasts. The only module that touches nats-py's internals.

It rests on nats-py 2.16, where `_ps` is the parser, `_process_msg` is given each message it found, `_close` is called for every end of a
connection, `_process_info` notes other servers alone, and `_pending` with `_pending_data_size` is what its flusher writes.
tests/unit/test_nats_connection.py fails when that changes. A connection that ends is not mended by nats-py: it would send again what was
declared lost, after what came later. link.py opens a new one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nats.aio.client import Client
from nats.errors import Error

from shared.adapters.nats.answers import AnswersFirst
from shared.adapters.nats.replies import Inbox, Lost, Waiter

UNREACHABLE = (OSError, TimeoutError, Error)  # what Connection.open() raises
MAX_BUFFERED = 32 * 1024 * 1024  # bytes written and not yet taken by the server; more than that is lost at once
CONNECT_TIMEOUT = 2  # seconds
RETRY_EVERY = 0.2  # seconds between two attempts to connect
PING_EVERY = 2  # seconds; a server that leaves two pings unanswered is gone
LARGEST_PAYLOAD = 2**31  # bytes; nats-server has at most 64 MiB
LEAVE_WITHIN = 2  # seconds for the server to send what it had for a subscription that ends; whole, as nats-py wants it

_log = logging.getLogger(__name__)

# What is called with each message of a subscription: subject, reply subject, payload, header block. What it returns, where it returns
# something, is awaited before anything more is read from the server.
Take = Callable[[bytes, bytes, bytes, bytes | None], Awaitable[None] | None]


class Connection(Client):
    """A nats-py client whose publishes and replies take a short way: bytes we made, answers straight to who waits."""

    def __init__(self) -> None:
        super().__init__()
        self._ps: AnswersFirst = AnswersFirst(self)
        self.ended = asyncio.Event()
        self._inbox: Inbox | None = None
        self._inbox_sid = 0
        self._takers: dict[int, Take] = {}

    async def open(self, servers: Sequence[str], name: str, *, once: bool = False, **options: Any) -> None:
        """Connect to one of the servers; tries until one answers, or `once`. `options` are nats-py's.

        Raises OSError, TimeoutError or nats.errors.Error when it refuses us, and where none answers `once`.
        """
        await self.connect(
            list(servers),
            name=name,
            error_cb=self._refused if once else _note,
            allow_reconnect=False,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RETRY_EVERY,  # type: ignore[arg-type]  # declared int, used as a number of seconds
            connect_timeout=CONNECT_TIMEOUT,
            ping_interval=PING_EVERY,
            **options,
        )
        if type(self._max_payload) is not int or not 0 <= self._max_payload <= LARGEST_PAYLOAD:
            raise OSError("it says of no size that it is the largest of a message")
        prefix = self.new_inbox()
        self._inbox = Inbox(prefix)
        subscription = await self.subscribe(f"{prefix}.>")
        self._inbox_sid = subscription._id
        self._ps.answers(self._inbox_sid, self._inbox.deliver)
        await self.flush()

    @property
    def live(self) -> bool:
        """Whether something can be sent now."""
        return self._inbox is not None and self._inbox.closed is None and self.is_connected

    @property
    def gone(self) -> str | None:
        """Why the connection has ended; None while it lives."""
        return self._inbox.closed if self._inbox is not None else "not connected"

    @property
    def domain(self) -> str:
        """The JetStream domain of the server, empty where it has none."""
        return str(self._server_info.get("domain", ""))

    async def ask(self, waiter: Waiter, frames: Callable[[str], bytes | tuple[bytes, ...]], deadline: float) -> None:
        """Send what `frames` makes for a reply subject, in pieces or whole, and wait for the answers until `deadline` (loop time).

        Returns early when the connection ends. Raises Lost when nothing can be sent.
        """
        if self._inbox is None:
            raise Lost("not connected")
        await self._inbox.ask(waiter, lambda reply: self.send(frames(reply)), deadline)

    def send(self, frames: bytes | tuple[bytes, ...]) -> None:
        """Write whole protocol frames, or the pieces of such, in one go, behind what nats-py has pending. Raises Lost."""
        if not self.live or self._transport is None:
            raise Lost(self.gone or "the connection is closing")
        pieces = (frames,) if isinstance(frames, bytes) else frames
        if self._buffered() + sum(map(len, pieces)) > MAX_BUFFERED:
            raise Lost("the backbone takes nothing: the connection's buffer is full")
        pending, self._pending, self._pending_data_size = self._pending, [], 0  # what can't be written now must not be, later
        pending.extend(pieces)
        try:
            self._transport.writelines(pending)
        except (RuntimeError, OSError) as error:  # uvloop's transport is closed before nats-py has noticed
            raise Lost(f"the connection is closing: {error}") from error

    def take(self, subject: str, take: Take, queue: str = "") -> int:
        """Subscribe: `take` is called with each message as it comes, and must not raise. The subscription's number. Raises Lost."""
        self._sid += 1
        self._takers[self._sid] = take
        self.send(f"SUB {subject} {queue + ' ' if queue else ''}{self._sid}\r\n".encode())
        return self._sid

    async def leave(self, number: int) -> None:
        """End a subscription. Returns once all that the server had sent on it is taken; the connection may be gone."""
        if number in self._takers:
            with contextlib.suppress(Lost, *UNREACHABLE):
                self.send(f"UNSUB {number}\r\n".encode())
                await self.flush(LEAVE_WITHIN)
            self._takers.pop(number, None)

    async def _refused(self, error: Exception) -> None:
        if self._inbox is None:  # not yet connected: nats-py would try again, and again
            raise error
        await _note(error)

    def _buffered(self) -> int:
        writer = getattr(self._transport, "_io_writer", None)  # a WebSocket has none, and keeps nothing
        return self._pending_data_size + (writer.transport.get_write_buffer_size() if writer else 0)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if sid == self._inbox_sid and self._inbox is not None:
            self._inbox.deliver(subject, data, headers)
        elif (taker := self._takers.get(sid)) is not None:
            if (waits := taker(subject, reply, data, headers)) is not None:
                await waits
        else:
            await super()._process_msg(sid, subject, reply, data, headers)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Of other servers that it names nothing is kept: link.py says which are connected to, and one that is anybody's could name them
        without end, or name any address."""

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        if self._inbox is not None:
            self._inbox.close(f"connection lost: {self.last_error or 'closed'}")
        self.ended.set()
        if not self.is_connected:  # it would be written to a broken socket
            self._pending, self._pending_data_size = [], 0
        if self._flush_queue is not None:  # None: it was never tried to connect, and nats-py has nothing to close
            await super()._close(status, do_cbs)


async def _note(error: Exception) -> None:
    """Nats-py reports each failed attempt; link.py says once that the backbone is gone."""
    _log.debug("nats: %r", error)
