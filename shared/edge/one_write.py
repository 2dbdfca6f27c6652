"""A transport that writes once a turn of the loop: uvicorn writes head and body of a response apart, each a system call.

Measured: two of the three system calls of a request were these, and two thirds of its time in the kernel.
"""

import asyncio
from typing import Any

UNREAD = 30.0  # seconds that a client may take nothing of what it was answered


class OneWrite:
    """A transport in front of uvloop's, which is `whole`. Everything but writing and ending is passed on.

    `linger`: seconds that close() waits for the peer to end, too. Closing under a peer that sends resets the connection, with the answer
    that is on its way (RFC 9112, 9.6). What is written by then goes out first, but for a peer that doesn't take it nobody waits for ever.
    """

    __slots__ = ("_ending", "_loop", "_waiting", "closing", "linger", "whole")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.whole = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self.linger = 0.0
        self.closing = False  # lingers
        self._ending: asyncio.TimerHandle | None = None

    def write(self, data: bytes) -> None:
        """Write with all else that is written before the loop turns."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(data)

    def write_now(self, data: bytes) -> None:
        """Write what is a whole answer already, behind what waits."""
        self.flush()
        if not self.is_closing():
            self.whole.write(data)

    def flush(self) -> None:
        """Write what waits, now."""
        waiting = self._waiting
        if waiting:
            self._waiting = []
            if not self.is_closing():  # the peer may be gone by now
                self.whole.write(b"".join(waiting))

    def close(self) -> None:
        self.flush()
        if not self.linger or self.whole.is_closing():
            self._end()
        elif not self.closing:
            self.closing = True
            self.whole.write_eof()
            self.whole.resume_reading()  # or its end isn't seen
            self._ending = self._loop.call_later(self.linger, self._end)

    def _end(self) -> None:
        if not self.whole.is_closing() and self.whole.get_write_buffer_size():
            self._ending = self._loop.call_later(UNREAD, self.whole.abort)
        self.whole.close()

    def is_closing(self) -> bool:
        return self.closing or self.whole.is_closing()

    def gone(self) -> None:
        """The connection is lost: nothing is waited for."""
        if self._ending is not None:
            self._ending.cancel()

    def write_eof(self) -> None:
        self.flush()
        self.whole.write_eof()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.flush()
        self.whole.set_protocol(protocol)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)
