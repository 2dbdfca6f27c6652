"""A transport that writes once a turn of the loop: uvicorn writes head and body of a response apart, each a system call.

Measured: two of the three system calls of a request were these, and two thirds of its time in the kernel.
"""

import asyncio
from typing import Any


class OneWrite:
    """A transport in front of uvloop's, which is `whole`. Everything but writing is passed on."""

    __slots__ = ("_loop", "_waiting", "whole")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.whole = transport
        self._loop = loop
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Write with all else that is written before the loop turns."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(data)

    def write_now(self, data: bytes) -> None:
        """Write what is a whole answer already, behind what waits."""
        self.flush()
        if not self.whole.is_closing():
            self.whole.write(data)

    def flush(self) -> None:
        """Write what waits, now."""
        waiting = self._waiting
        if waiting:
            self._waiting = []
            if not self.whole.is_closing():  # the peer may be gone by now
                self.whole.write(b"".join(waiting))

    def close(self) -> None:
        self.flush()
        self.whole.close()

    def write_eof(self) -> None:
        self.flush()
        self.whole.write_eof()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.flush()
        self.whole.set_protocol(protocol)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)
