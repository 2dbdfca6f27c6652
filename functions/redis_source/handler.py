"""One org's submit list: batches through the pipeline (or to the sink), one at a time, so that an org's order holds and it can't crowd out
the others. An element leaves the list when the outcome of every event in it is known; until then it is tried again, and what came
behind it waits.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import time_ns

from functions.redis_source import element as elements
from functions.redis_source.element import Work
from shared.codec import Context
from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.snapshot import Snapshot
from shared.domain.submitted import Batch, Settlement, Side
from shared.pause import set_within
from shared.ports import SubmitLists
from shared.sources.backoff import Backoff
from shared.sources.outcomes import Retry, Settled, Way
from shared.sources.room import Room

log = logging.getLogger(__name__)

BATCH_BYTES = 8 * 1024 * 1024  # what a batch may take: one element as large as they come
WRONG_TYPE_S = 1.0  # between two looks at a key that is no list


class Counts:
    """Elements since the start, of all orgs. `waits` counts tries that didn't end in an outcome."""

    def __init__(self) -> None:
        self.taken = self.rejected = self.shed = self.waits = 0


class Lane:
    """An org's list, as this worker works it off."""

    def __init__(self, org: str, lists: SubmitLists, way: Way, current: Callable[[], Snapshot], room: Room, counts: Counts) -> None:
        self.org = org
        self._lists, self._way, self._current, self._room, self._counts = lists, way, current, room, counts
        self._backoff = Backoff()
        self._known: dict[int, list[Settled | None]] = {}  # answers to what this worker still holds, by its place in the batch
        self._wrong_type = False

    async def drain(self, stop: asyncio.Event) -> None:
        """Work off the list until it is empty, the org is gone, or `stop` is set. Raises nothing."""
        while not stop.is_set() and self.org in self._current().orgs:
            try:
                async with self._room.held(0, BATCH_BYTES):
                    pause = await self._turn(stop)
            except Exception as error:
                if not isinstance(error, SwitchboardError):
                    log.exception("the submit list of %s failed, and is tried again", self.org)
                self._known.clear()
                pause = self._failed(0)
            if pause is None:
                return
            if pause and await set_within(stop, pause):
                return

    async def shed(self, stop: asyncio.Event) -> None:
        """Refuse the newest elements while the list holds more than it may. Raises Unavailable."""
        while not stop.is_set():
            batch = await self._lists.take(self.org, "over")
            if not batch.elements:
                return
            works = self._read(batch, {})
            for work in works:
                elements.refuse(work)
            self._counts.shed += len(works)
            await self._settle("over", works, len(works), stop)

    async def _turn(self, stop: asyncio.Event) -> float | None:
        """One batch; seconds to wait before the next, None where there is nothing to take. Raises Unavailable."""
        batch = await self._lists.take(self.org)
        if batch.wrong_type is not None:
            return await self._complain(batch.wrong_type, stop)
        self._wrong_type = False
        if not batch.elements:
            return None
        if not batch.again:
            self._known.clear()
            self._counts.taken += len(batch.elements)
        works = self._read(batch, self._known)
        await self._submit(works)
        done = next((place for place, work in enumerate(works) if not work.final), len(works))
        left = works[done:]
        self._known = {place: work.answers for place, work in enumerate(left)}
        if done and not await self._settle("taken", works, done, stop):
            self._known.clear()
        if not left:
            self._backoff.worked()
            return 0
        self._counts.waits += 1
        return self._failed(max(answer.after_ms for work in left for answer in work.answers if isinstance(answer, Retry)))

    def _failed(self, after_ms: int) -> float:
        return self._backoff.failed(after_ms)

    def _read(self, batch: Batch, known: dict[int, list[Settled | None]]) -> list[Work]:
        snapshot = self._current()
        name = snapshot.door_principal("redis", self.org).name
        context = Context(self.org, "redis", name, time_ns() // 1000, snapshot.revision)
        return [elements.read(element, context, known.get(place)) for place, element in enumerate(batch.elements)]

    async def _submit(self, works: Sequence[Work]) -> None:
        """Get an outcome for every event that has none, all in one go."""
        asked = [work.messages for work in works]
        messages = [message for some in asked for message in some]
        if not messages:
            return
        settled = await self._way(messages, self._current().door_principal("redis", self.org))
        place = 0
        for work, some in zip(works, asked, strict=True):
            work.answer(settled[place : place + len(some)])
            place += len(some)

    async def _settle(self, side: Side, works: Sequence[Work], done: int, stop: asyncio.Event) -> bool:
        """Let go of the first `done`, tried until it worked: their outcome is known, and their senders are to hear of it.

        False where they aren't this worker's any more.
        """
        told = elements.told(works[:done])
        self._counts.rejected += len(told.rejected)
        backoff = Backoff()
        while True:
            try:
                return await self._lists.settle(self.org, side, len(works), done, told)
            except Unavailable:
                if await set_within(stop, backoff.failed()):
                    return False

    async def _complain(self, found: str, stop: asyncio.Event) -> float:
        """The submit key is no list: said once, until it is one again."""
        if not self._wrong_type:
            self._wrong_type = True
            reason = f"the submit key holds a {found}, not a list: remove it"
            log.warning("org %s: %s", self.org, reason)
            self._counts.rejected += 1
            await self._lists.settle(self.org, "taken", 0, 0, Settlement(rejected=[elements.rejection(reason, b"")]))
        return WRONG_TYPE_S
