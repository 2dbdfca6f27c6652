"""One org's submit list: batches through the pipeline (or to the sink), one at a time, so that an org's order holds and it can't crowd out
the others. An element leaves the list when the outcome of every event in it is known; until then it is tried again, and what came
behind it waits. One that our own code fails over, or that its workers die of, is found among its neighbours, and rejected.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from time import time_ns

from functions.redis_source import element as elements
from functions.redis_source.element import Work
from shared.codec import Context
from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.snapshot import Snapshot
from shared.domain.submitted import Batch, Element, Settlement, Side
from shared.pause import set_within
from shared.ports import SubmitLists
from shared.sources.backoff import Backoff
from shared.sources.outcomes import FAILED_HERE, MAX_DELIVERIES, MAX_FAILURES, Retry, Settled, Way
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
        self._known_of = (0, 0)  # the number of that batch, and how many elements of it are held
        self._most = sys.maxsize  # elements tried together: half as many each time that our own code fails over them
        self._failures = 0  # of our own code, in a row, over the first element alone
        self._wrong_type = False

    async def drain(self, stop: asyncio.Event) -> None:
        """Work off the list until it is empty, or `stop` is set. When the org goes, what is held of it is put back. Raises nothing."""
        while not stop.is_set():
            served = self.org in self._current().orgs
            try:
                if not served:
                    await self._lists.leave([self.org])
                    return
                async with self._room.held(0, BATCH_BYTES):
                    pause = await self._turn(stop)
            except Exception as error:
                if not isinstance(error, SwitchboardError):
                    log.exception("the submit list of %s failed, and is tried again", self.org)
                self._counts.waits += 1
                self._known.clear()
                pause = self._failed(0)
            if pause is None:
                return
            if pause and await set_within(stop, pause):
                return

    async def shed(self, stop: asyncio.Event) -> None:
        """Refuse the newest elements while the list holds more than it may. Raises Unavailable."""
        while not stop.is_set() and self.org in self._current().orgs:
            batch = await self._lists.take(self.org, "over")
            if not batch.elements:
                return
            self._counts.shed += len(batch.elements)
            await self._settle("over", batch, len(batch.elements), self._refused(batch), stop)

    async def _turn(self, stop: asyncio.Event) -> float | None:
        """One batch; seconds to wait before the next, None where there is nothing to take. Raises Unavailable."""
        batch = await self._lists.take(self.org)
        if batch.wrong_type is not None:
            return await self._complain(batch.wrong_type, stop)
        self._wrong_type = False
        if not batch.elements:
            return None
        if not batch.again:
            self._counts.taken += len(batch.elements)
        if self._known_of != (batch.number, len(batch.elements)):  # another; after a failover the server may know an older one, too
            self._known.clear()
        if batch.deaths > MAX_DELIVERIES:
            reason = f"it was taken {batch.deaths} times, and never had an outcome: whoever took it is gone"
            return await self._reject_first(batch, reason, stop)
        try:
            works = self._read(batch.elements[: self._most], self._known)
            await self._submit(works)
            done = next((place for place, work in enumerate(works) if not work.final), len(works))
            told = elements.told(works[:done])
        except Exception as error:
            if isinstance(error, SwitchboardError):
                raise
            return await self._failed_over(batch, stop)
        self._failures = 0
        left = works[done:]
        self._known |= dict(enumerate(work.answers for work in works))
        self._known_of = (batch.number, len(batch.elements))
        if done:
            await self._let_go(batch, done, told, stop)
        if not left:
            self._most = min(self._most * 2, sys.maxsize)
            self._backoff.worked()
            return 0
        self._counts.waits += 1
        return self._failed(max(answer.after_ms for work in left for answer in work.answers if isinstance(answer, Retry)))

    async def _failed_over(self, batch: Batch, stop: asyncio.Event) -> float:
        """Our own code failed over what it tried: it goes on with half of it, or tries the one element again, or rejects it. A bug that is
        not the element's takes as long to reject each."""
        tried = min(self._most, len(batch.elements))
        log.exception("the submit list of %s: %d elements failed, and are tried again", self.org, tried)
        self._counts.waits += 1
        if tried > 1:
            self._most = tried // 2
            return 0
        self._most, self._failures = 1, self._failures + 1
        if self._failures <= MAX_FAILURES:
            return self._failed(0)
        self._failures = 0
        return await self._reject_first(batch, FAILED_HERE, stop)

    async def _reject_first(self, batch: Batch, reason: str, stop: asyncio.Event) -> float:
        """The first element is not looked at any more."""
        await self._let_go(batch, 1, Settlement(rejected=[elements.rejection(reason, batch.elements[0])]), stop)
        self._backoff.worked()
        return 0

    async def _let_go(self, batch: Batch, done: int, told: Settlement, stop: asyncio.Event) -> None:
        """Settle the first `done` elements, and keep what is known of the others."""
        if await self._settle("taken", batch, done, told, stop):
            self._known = {place - done: answers for place, answers in self._known.items() if place >= done}
            self._known_of = (batch.number, len(batch.elements) - done)
        else:
            self._known.clear()

    def _failed(self, after_ms: int) -> float:
        return self._backoff.failed(after_ms)

    def _refused(self, batch: Batch) -> Settlement:
        """What is told of a batch that the list has no room for."""
        try:
            works = self._read(batch.elements, {})
            for work in works:
                elements.refuse(work)
            return elements.told(works)
        except Exception as error:
            if isinstance(error, SwitchboardError):
                raise
            log.exception("the submit list of %s: %d elements that it has no room for failed", self.org, len(batch.elements))
            return Settlement(rejected=[elements.rejection(elements.FULL, element) for element in batch.elements])

    def _read(self, some: Sequence[Element], known: dict[int, list[Settled | None]]) -> list[Work]:
        snapshot = self._current()
        name = snapshot.door_principal("redis", self.org).name
        context = Context(self.org, "redis", name, time_ns() // 1000, snapshot.revision)
        return [elements.read(element, context, known.get(place)) for place, element in enumerate(some)]

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

    async def _settle(self, side: Side, batch: Batch, done: int, told: Settlement, stop: asyncio.Event) -> bool:
        """Let go of the first `done`, tried until it worked: their outcome is known, and their senders are to hear of it.

        False where they aren't this worker's any more.
        """
        self._counts.rejected += len(told.rejected)
        backoff = Backoff()
        while True:
            try:
                return await self._lists.settle(self.org, side, batch, done, told)
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
            await self._lists.settle(self.org, "taken", Batch(), 0, Settlement(rejected=[elements.rejection(reason, b"")]))
        return WRONG_TYPE_S
