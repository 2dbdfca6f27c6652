"""All orgs' submit lists: looks for those with something in them, and works each off in its own task. Orgs come and go with the config."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from functions.redis_source.handler import Counts, Lane
from shared.domain.errors import Unavailable
from shared.domain.snapshot import Snapshot
from shared.pause import set_within
from shared.ports import SubmitLists
from shared.sources.outcomes import Way
from shared.sources.room import Room

log = logging.getLogger(__name__)

SHORTEST_S, LONGEST_S = 0.002, 0.05  # between two looks at idle lists: the longer nothing comes, the longer
EACH_S = 0.0001  # of an org, between two looks: ten thousand lists are looked at once a second
KEEP_S = 1.0  # between two heartbeats, and two looks at the lists' bounds
RECOVER_EVERY = 5  # of them
AWAY_S = 0.5  # between two tries while the Redis doesn't answer


class Source:
    """The door of one process. `current` gives the snapshot in force."""

    def __init__(self, lists: SubmitLists, way: Way, current: Callable[[], Snapshot], room: Room | None = None) -> None:
        self.counts = Counts()
        self.room = room or Room()
        self._lists, self._way, self._current = lists, way, current
        self._lanes: dict[str, Lane] = {}
        self._draining: dict[str, asyncio.Task[None]] = {}
        self._away = False

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set: then what is in flight is finished, and what was taken besides is put back."""
        ended = asyncio.Event()  # later than `stop`: the last batches may take longer than a heartbeat lasts
        keeping = asyncio.create_task(self._keep(ended, stop), name="redis-door-keep")
        try:
            await self._look(stop)
        finally:
            if self._draining:
                await asyncio.wait(self._draining.values())
            ended.set()
            await keeping
            await self._leave()

    @property
    def busy(self) -> list[str]:
        """The orgs whose lists are being worked off."""
        return [org for org, task in self._draining.items() if not task.done()]

    async def _look(self, stop: asyncio.Event) -> None:
        pause = SHORTEST_S
        while not stop.is_set():
            orgs = self._idle()
            try:
                waiting = await self._lists.waiting(orgs)
                self._reached()
            except Unavailable as error:
                self._lost(error)
                await set_within(stop, AWAY_S)
                continue
            for org in waiting:
                self._draining[org] = asyncio.create_task(self._lane(org).drain(stop), name=f"redis-door-{org}")
            pause = SHORTEST_S if waiting else min(pause * 1.2, LONGEST_S)
            await set_within(stop, max(pause, EACH_S * len(orgs)))

    def _idle(self) -> list[str]:
        """The orgs there are now whose lists nobody works off here; what is kept of others is forgotten."""
        orgs = self._current().orgs
        busy = self._draining = {org: task for org, task in self._draining.items() if not task.done()}
        if len(self._lanes) > len(orgs):
            self._lanes = {org: lane for org, lane in self._lanes.items() if org in orgs or org in busy}
        return [org for org in orgs if org not in busy]

    def _lane(self, org: str) -> Lane:
        lane = self._lanes.get(org)
        if lane is None:
            lane = self._lanes[org] = Lane(org, self._lists, self._way, self._current, self.room, self.counts)
        return lane

    async def _keep(self, ended: asyncio.Event, stop: asyncio.Event) -> None:
        """Heartbeats, takeovers, and the lists' bounds, whatever the pipeline does."""
        beats = 0
        while True:
            try:
                busy = self.busy
                await self._lists.beat(busy)
                if beats % RECOVER_EVERY == 0:
                    self._note(await self._lists.recover(self._current().orgs))
                for org in busy:
                    await self._lane(org).shed(stop)
            except Unavailable as error:
                self._lost(error)
            except Exception:
                log.exception("keeping the submit lists failed, and is tried again")
            beats += 1
            if await set_within(ended, KEEP_S):
                return

    async def _leave(self) -> None:
        held: Sequence[str] = [*self._lanes]
        try:
            await self._lists.leave(held)
        except Unavailable as error:
            log.warning("what was taken could not be put back; another worker takes over in 5 s: %s", error.detail)

    def _note(self, moved: int) -> None:
        if moved:
            log.warning("took over %d elements of workers that are gone", moved)

    def _lost(self, error: Unavailable) -> None:
        if not self._away:
            log.warning("the door's Redis can't be reached, and is tried again: %s", error.detail)
        self._away = True

    def _reached(self) -> None:
        self._away = False
