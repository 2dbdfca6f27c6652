"""Retention: what config says nobody keeps any longer goes out of the store. One of all loggers is at it at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from shared.domain.errors import SwitchboardError
from shared.domain.retention import Retention
from shared.pause import set_within

EVERY_S = 600.0
FIRST_S = 30.0  # a store that was down has other things to do first
BATCH = 5_000  # messages in one transaction

Expire = Callable[[Retention, int, int], Awaitable[int]]

log = logging.getLogger(__name__)


class Sweeper:
    """Removes what is too old, every ten minutes, in small transactions."""

    def __init__(self, retention: Callable[[], Retention], expire: Expire, clock: Callable[[], int], every_s: float = EVERY_S) -> None:
        self.removed = 0  # rows and days
        self._retention, self._expire, self._clock, self._every_s = retention, expire, clock, every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        pause = min(FIRST_S, self._every_s)
        while not await set_within(stop, pause):
            pause = self._every_s
            try:
                await self.sweep(stop)
            except SwitchboardError as error:
                log.warning("what is too old stays for now: %s", error.detail)
            except Exception:
                log.exception("removing what is too old failed, and is tried again")

    async def sweep(self, stop: asyncio.Event) -> None:
        """Remove all of it. Raises Unavailable."""
        while not stop.is_set():
            gone = await self._expire(self._retention(), self._clock(), BATCH)
            self.removed += gone
            if not gone:
                return
