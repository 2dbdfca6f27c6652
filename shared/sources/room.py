"""How much a source holds in memory at once. When that is full it stops taking: what isn't taken waits where it is durable."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

EVENTS = 4_096
BYTES = 64 * 1024 * 1024


class Room:
    """So many events and bytes. Who asks first is let in first; who asks for more than there is comes in alone."""

    def __init__(self, max_events: int = EVENTS, max_bytes: int = BYTES) -> None:
        self.max_events, self.max_bytes = max_events, max_bytes
        self.events = self.bytes = 0
        self._waiting: deque[tuple[int, int, asyncio.Future[None]]] = deque()

    def fits(self, events: int, size: int) -> bool:
        """Whether enter() would return at once."""
        return not self._waiting and self._fits(events, size)

    async def enter(self, events: int, size: int) -> None:
        """Wait until so much fits, and take it; leave() gives it back."""
        if not self.fits(events, size):
            entering: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((events, size, entering))
            try:
                await entering
            except BaseException:  # cancelled: nobody is to wait behind one that is gone
                if entering.done() and not entering.cancelled():
                    self.leave(events, size)
                else:
                    self._waiting = deque(one for one in self._waiting if one[2] is not entering)
                    self._let_in()
                raise
            return
        self._take(events, size)

    def leave(self, events: int, size: int) -> None:
        """Give back what enter() took."""
        self.events -= events
        self.bytes -= size
        self._let_in()

    @asynccontextmanager
    async def held(self, events: int, size: int) -> AsyncIterator[None]:
        """enter(), and leave() after the block."""
        await self.enter(events, size)
        try:
            yield
        finally:
            self.leave(events, size)

    def _fits(self, events: int, size: int) -> bool:
        empty = not self.events and not self.bytes
        return empty or (self.events + events <= self.max_events and self.bytes + size <= self.max_bytes)

    def _take(self, events: int, size: int) -> None:
        self.events += events
        self.bytes += size

    def _let_in(self) -> None:
        while self._waiting:
            events, size, entering = self._waiting[0]
            if not self._fits(events, size):
                return
            self._waiting.popleft()
            if not entering.done():
                self._take(events, size)
                entering.set_result(None)
