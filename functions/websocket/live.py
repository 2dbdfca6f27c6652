"""The one reader of the feed in a process: it fills the ring while anybody watches (architecture.md, "A message's way")."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from functions.websocket.budget import Budget
from functions.websocket.catching_up import CatchingUp
from functions.websocket.ring import RING_BYTES, Ring
from shared.domain.errors import Unavailable
from shared.domain.feed import FeedEntry, FeedSpan
from shared.ports import FeedReader

WAIT_MS = 1_000  # how long Redis keeps a read that has nothing to answer; an epoch's change is noticed within it
RETRY = (0.1, 0.2, 0.5, 1.0, 2.0)  # seconds between two tries to reach Redis again; the last one repeats
CANCELLED_IN = 0.2  # seconds
log = logging.getLogger(__name__)


class Feed:
    """The ring and what fills it. Nothing is read while nobody watches: doors may live in the same process."""

    def __init__(self, reader: FeedReader, shards: int, limit: int = RING_BYTES) -> None:
        self.reader = reader
        self.ring = Ring(shards, limit)
        self.budget = Budget()
        self.catching_up = CatchingUp()
        self.clients: set[asyncio.Event] = set()
        self.of_orgs: Counter[str] = Counter()  # how many of them each org has
        self.lost = False
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def watched(self, wake: asyncio.Event, org: str = "") -> AsyncIterator[None]:
        """Fill the ring for the time of the block, and set `wake`, of a client of that org, whenever it has something new.

        Raises Unavailable when the feed can't be read now.
        """
        self.clients.add(wake)
        self.of_orgs[org] += 1
        try:
            async with self._starting:
                if self._task is None:
                    spans = await self.reader.spans()
                    self._begin(spans, [span.next for span in spans])
                    self._task = asyncio.create_task(self._follow(), name="feed")
            yield
        finally:
            self.clients.discard(wake)
            self.of_orgs -= Counter((org,))  # which forgets those that have none
            if not self.clients:
                await self.stop()

    async def stop(self) -> None:
        """Stop reading and forget the ring, unless somebody watches."""
        async with self._starting:
            if self.clients or self._task is None:
                return
            task, self._task = self._task, None
            while not task.done():  # redis-py 8.1 loses a cancellation that comes while it connects
                task.cancel()
                await asyncio.wait((task,), timeout=CANCELLED_IN)
            shards = len(self.ring.start)
            self._begin([FeedSpan()] * shards, [0] * shards)
            await self.reader.close()

    def _begin(self, spans: Sequence[FeedSpan], numbers: Sequence[int]) -> None:
        self.ring.begin([span.epoch for span in spans], numbers)

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                spans, entries = await self.reader.follow(self.ring.next, WAIT_MS)
            except Exception as error:
                if not failures:
                    log.warning("the feed can't be read: %s", error, exc_info=not isinstance(error, Unavailable))
                self.lost = True
                await asyncio.sleep(RETRY[min(failures, len(RETRY) - 1)])
                failures += 1
                continue
            failures, self.lost = 0, False
            self._take(spans, entries)

    def _take(self, spans: Sequence[FeedSpan], entries: Sequence[FeedEntry]) -> None:
        """Put what was read into the ring, and wake the clients."""
        if [span.epoch for span in spans] != self.ring.epochs:  # Redis came back empty, or logged for the first time
            self._begin(spans, [span.lost + 1 if span.epoch else 0 for span in spans])
        elif any(missed(span, place, _of(entries, shard)) for shard, (span, place) in enumerate(zip(spans, self.ring.next, strict=True))):
            self._begin(spans, [_first(_of(entries, shard), span.next) for shard, span in enumerate(spans)])
            self._fill(entries)
        elif not entries:
            return
        else:
            self._fill(entries)
        for wake in self.clients:
            wake.set()

    def _fill(self, entries: Sequence[FeedEntry]) -> None:
        for entry in entries:
            self.ring.append(entry)


def missed(span: FeedSpan, place: int, entries: Sequence[FeedEntry]) -> bool:
    """Whether something from number `place` on was trimmed away before `entries` were read from there."""
    return span.lost >= max(place, 1) and not (entries and entries[0].number == place)


def _of(entries: Sequence[FeedEntry], shard: int) -> list[FeedEntry]:
    return [entry for entry in entries if entry.shard == shard]


def _first(entries: Sequence[FeedEntry], otherwise: int) -> int:
    return entries[0].number if entries else otherwise
