"""Reading a request's body within bounds of size, memory and time."""

import asyncio
import contextlib
from time import monotonic

from shared.domain.errors import Fault, Malformed, TooLarge
from shared.edge.asgi import Event, Receive, Send
from shared.edge.flight import Flight

SLOWEST = 30.0  # seconds a body may take from its first byte to its last
LINGER_BYTES = 16 * 1024 * 1024  # of a refused body, read and thrown away so that the client sees the answer
LINGER = 2.0  # seconds


class Gone(Exception):
    """The client went away before its request was whole: nobody is left to answer."""


class Deadlines:
    """Cancels tasks that take too long. One look a second for all of them: a timer for each request would cost more than its body."""

    def __init__(self, seconds: float = SLOWEST) -> None:
        self.seconds = seconds
        self._since: dict[asyncio.Task[object], float] = {}
        self._expired: set[asyncio.Task[object]] = set()
        self._looking: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> "asyncio.Task[object]":
        """The current task has so many seconds from now."""
        loop = self._loop
        if loop is None or not loop.is_running():
            loop = self._loop = asyncio.get_running_loop()  # kept: asking for it is a system call
        task = asyncio.current_task(loop)
        assert task is not None
        self._since[task] = monotonic()
        if self._looking is None:
            self._looking = loop.call_later(self._step(), self._look)
        return task

    def end(self, task: "asyncio.Task[object]") -> bool:
        """The task is done with it. Whether its time had passed: then the cancellation it sees is ours."""
        del self._since[task]
        if task in self._expired:
            self._expired.discard(task)
            return True
        return False

    def _step(self) -> float:
        return min(1.0, self.seconds / 4)

    def _look(self) -> None:
        self._looking = None
        oldest = monotonic() - self.seconds
        for task, since in self._since.items():
            if since < oldest and task not in self._expired:
                self._expired.add(task)
                task.cancel()
        if self._since:
            self._looking = asyncio.get_running_loop().call_later(self._step(), self._look)


def too_large(limit: int) -> TooLarge:
    """What a body over the limit is refused with."""
    return TooLarge(f"the body is over {limit} bytes", rule="size", faults=[Fault("", f"is over {limit} bytes")])


async def read_body(receive: Receive, limit: int, flight: Flight, deadlines: Deadlines) -> bytes:
    """The whole body.

    Raises TooLarge as soon as more than `limit` bytes came, Overloaded when bodies in flight take too much memory, a Malformed with
    status 408 when it took too long, Gone when the client went away.
    """
    task = deadlines.begin()
    try:
        event = await receive()
        body: bytes = event.get("body", b"")
        if event.get("more_body") or event["type"] == "http.disconnect":
            body = await _read_rest(event, body, receive, limit, flight)
    except asyncio.CancelledError:
        if deadlines.end(task):
            task.uncancel()
            raise Malformed(f"the body did not arrive within {deadlines.seconds:g} s", status=408) from None
        raise
    except BaseException:
        deadlines.end(task)
        raise
    if deadlines.end(task):
        task.uncancel()
    if len(body) > limit:
        raise too_large(limit)
    return body


async def _read_rest(event: Event, first: bytes, receive: Receive, limit: int, flight: Flight) -> bytes:
    """The body from its first part on. What has come counts as in flight while the rest is awaited."""
    parts, size = [first], len(first)
    flight.bytes += size
    try:
        while event.get("more_body"):
            event = await receive()
            part: bytes = event.get("body", b"")
            parts.append(part)
            size += len(part)
            flight.bytes += len(part)
            if size > limit:
                raise too_large(limit)
            if flight.bytes > flight.max_bytes:
                raise flight.overloaded()
        if event["type"] == "http.disconnect":
            raise Gone
        return b"".join(parts)
    finally:
        flight.bytes -= size


async def refuse_unread(receive: Receive, send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Answer before the body was read, then throw away what still comes, for a moment, so that the client gets to see the answer.

    Closing at once would reset the connection under a client that is still sending (RFC 9112, 9.6); the connection ends after this.
    """
    start = [*headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_throw_away(receive), LINGER)
    await send({"type": "http.response.body", "body": b""})


async def _throw_away(receive: Receive) -> None:
    size = 0
    while size < LINGER_BYTES:
        event = await receive()
        size += len(event.get("body", b""))
        if not event.get("more_body"):
            return
