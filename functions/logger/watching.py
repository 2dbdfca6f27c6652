"""The watch over all relays of a shard: one look at their leases and gates, twice a second, and only who has something to do is woken.

So a backbone at rest costs a line of a script and no task's turn, and a thousand of them one connection.
"""

import asyncio
import logging
import time
from typing import Protocol

from shared.domain.errors import SwitchboardError
from shared.domain.relaying import Watched
from shared.pause import set_within
from shared.ports import RelayWatch

LOOK_S = 0.5

log = logging.getLogger(__name__)


class Watchable(Protocol):
    """A relay, as it is watched."""

    @property
    def backbone(self) -> str: ...

    def tell(self, watched: Watched | None, asked: float) -> None: ...

    async def run(self, stop: asyncio.Event) -> None: ...

    async def leave(self) -> None: ...


class Watching:
    """Relays that are looked at together, every `look_s` seconds."""

    def __init__(self, watch: RelayWatch, look_s: float = LOOK_S) -> None:
        self._watch = watch
        self._look_s = look_s
        self._relays: dict[str, Watchable] = {}
        self._looking = asyncio.Lock()
        self._early = asyncio.Event()  # somebody is new, or it is over
        self._over = False
        self._failures = 0  # in a row

    async def keep(self, relay: Watchable, stop: asyncio.Event) -> None:
        """Let a relay work until `stop` is set, and watch it meanwhile. There is one of a backbone at a time."""
        self._relays[relay.backbone] = relay
        self._early.set()
        try:
            await relay.run(stop)
        finally:
            async with self._looking:  # no look may take the lease again that is given up now
                del self._relays[relay.backbone]
            await relay.leave()

    def stop(self) -> None:
        """Let run() end."""
        self._over = True
        self._early.set()

    async def run(self) -> None:
        """Until stop(). A look that fails is made again."""
        while not self._over:
            self._early.clear()
            try:
                await self.look()
                self._failures = 0
            except Exception as error:  # the leases end by themselves, and the next look may do
                self._note(error)
            await set_within(self._early, self._look_s)

    async def look(self) -> None:
        """One look at all of them. Raises Unavailable."""
        async with self._looking:
            if not self._relays:
                return
            asked, relays = time.monotonic(), dict(self._relays)
            watched = await self._watch.look(list(relays))
            for backbone, relay in relays.items():
                relay.tell(watched.get(backbone), asked)

    def _note(self, error: Exception) -> None:
        self._failures += 1
        if not isinstance(error, SwitchboardError):
            log.exception("the relays' watch failed, and looks again")
        elif self._failures == 1:
            log.warning("the relays can't be looked at: %s", error.detail)
