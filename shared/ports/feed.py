"""The feed: what websocket pods read, and how a hub adds to it."""

from collections.abc import Sequence
from typing import Protocol

from shared.domain.feed import FeedEntry, FeedSpan, Unstored
from shared.domain.record import Flush


class FeedReader(Protocol):
    """The feed's reader. Conformance: tests/conformance/feed_reader.py, run on memory and Redis. Every method raises Unavailable."""

    async def spans(self) -> list[FeedSpan]:
        """What each shard's feed holds now, by shard."""

    async def follow(self, places: Sequence[int], wait_ms: int) -> tuple[list[FeedSpan], list[FeedEntry]]:
        """The first entries of every shard with numbers of at least `places[shard]`, in order within a shard; waits `wait_ms` for one.

        The spans are read after the entries: where an epoch is another than the caller's, the entries count for nothing. One caller.
        """

    async def page(self, shard: int, start: int, limit: int) -> tuple[FeedSpan, list[FeedEntry]]:
        """At most `limit` entries of a shard from number `start` on, and the span as it was after that. Any number of callers."""

    async def unstored(self) -> list[Unstored]:
        """From where on each shard's feed has what no store has yet. Any number of callers."""

    async def close(self) -> None:
        """Let go of the connections; the next call makes new ones."""


class FeedWriter(Protocol):
    """The hub's feed, as log-batch adds to it what other clusters logged. Conformance: tests/conformance/feed_writer.py, run on memory and
    Redis. Every method raises Unavailable."""

    async def ready(self) -> None:
        """Nothing, where the feed can be written to now."""

    async def show(self, cluster: str, shard: int, flushes: Sequence[Flush]) -> int:
        """Append the flushes of another cluster's shard, in this order, bodies over 16 KiB cut. Those it was given before, within 15
        minutes, are not shown twice. How many are new."""
