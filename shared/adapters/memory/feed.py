"""A feed in memory: for unit tests."""

import asyncio
import secrets
from collections.abc import Sequence

from shared.domain.feed import FeedEntry, FeedSpan, Unstored, packed_for_feed
from shared.domain.record import Flush


class MemoryFeedReader:
    """The feed's reader, with what writes it: append(), trim() and renew(). The numbers in `waiting` are those that no store has yet."""

    def __init__(self, shards: int = 1) -> None:
        self.shards = shards
        self._spans = [FeedSpan() for _ in range(shards)]
        self._entries: list[list[FeedEntry]] = [[] for _ in range(shards)]
        self.waiting: list[dict[int, int]] = [{} for _ in range(shards)]  # number -> when it was logged
        self._grown = asyncio.Event()

    def append(self, packed: bytes, shard: int = 0) -> int:
        """Add a flush, as flush.lua does it; its number."""
        span = self._spans[shard]
        number = max(span.next, 1)
        self._spans[shard] = FeedSpan(span.epoch or secrets.token_hex(8), span.lost, number + 1)
        self._entries[shard].append(FeedEntry(shard, number, packed))
        self._grown.set()
        return number

    def trim(self, up_to: int, shard: int = 0) -> None:
        """Remove the entries up to this number."""
        span = self._spans[shard]
        gone = [entry.number for entry in self._entries[shard] if entry.number <= up_to]
        self._entries[shard] = [entry for entry in self._entries[shard] if entry.number > up_to]
        self._spans[shard] = FeedSpan(span.epoch, max([span.lost, *gone]), span.next)

    def renew(self, shard: int = 0) -> None:
        """Lose everything, as a Redis does that comes back empty."""
        self._spans[shard] = FeedSpan()
        self._entries[shard] = []
        self.waiting[shard] = {}

    async def spans(self) -> list[FeedSpan]:
        return list(self._spans)

    async def follow(self, places: Sequence[int], wait_ms: int) -> tuple[list[FeedSpan], list[FeedEntry]]:
        self._grown.clear()
        found = self._from(places)
        if not found:
            try:
                async with asyncio.timeout(wait_ms / 1000):
                    await self._grown.wait()
            except TimeoutError:
                return list(self._spans), []
            found = self._from(places)
        return list(self._spans), found

    async def page(self, shard: int, start: int, limit: int) -> tuple[FeedSpan, list[FeedEntry]]:
        return self._spans[shard], [entry for entry in self._entries[shard] if entry.number >= start][:limit]

    async def unstored(self) -> list[Unstored]:
        return [
            Unstored(span.epoch, min(waiting), waiting[min(waiting)]) if waiting else Unstored(span.epoch, span.next)
            for span, waiting in zip(self._spans, self.waiting, strict=True)
        ]

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _from(self, places: Sequence[int]) -> list[FeedEntry]:
        return [entry for shard in self._entries for entry in shard if entry.number >= places[entry.shard]]


class MemoryFeedWriter:
    """FeedWriter on a MemoryFeedReader."""

    def __init__(self, feed: MemoryFeedReader) -> None:
        self._feed = feed
        self._shown: set[tuple[str, int, int, bytes]] = set()

    async def ready(self) -> None:
        """It always is."""

    async def show(self, cluster: str, shard: int, flushes: Sequence[Flush]) -> int:
        new = 0
        for flush in flushes:
            packed = packed_for_feed(flush)
            one = cluster, shard, flush.number, packed
            if one not in self._shown:
                self._shown.add(one)
                self._feed.append(packed, shard % self._feed.shards)
                new += 1
        return new
