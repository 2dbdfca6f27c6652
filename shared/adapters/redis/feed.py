"""The feed's reader on Redis: one blocking XREAD over all shards, and XRANGE pages for who is far behind (docs/internals.md)."""

import asyncio
import secrets
from collections.abc import Sequence
from itertools import chain
from typing import Any

from shared.adapters.redis.keys import prefix
from shared.adapters.redis.link import Argument, Link
from shared.adapters.redis.resp import Refused
from shared.adapters.redis.scripts import script
from shared.domain.errors import Unavailable
from shared.domain.feed import FeedEntry, FeedSpan, Unstored

AT_ONCE = 8  # entries a shard and read: one may have 8 MiB


class RedisFeedReader:
    """Reads the streams `sb:log:{n}:feed` of `shards` shards. Two connections of its own: one blocks, one serves pages in turn."""

    def __init__(self, url: str, shards: int = 1) -> None:
        self.shards = shards
        self._tail = Link(url)
        self._pages = Link(url)
        self._turn = asyncio.Lock()
        self._followed: list[FeedSpan] = []  # what follow() found last

    async def spans(self) -> list[FeedSpan]:
        """What each shard's feed holds now, by shard."""
        async with self._turn:
            return _spans(await self._pages.call(*_span_commands(range(self.shards))))

    async def follow(self, places: Sequence[int], wait_ms: int) -> tuple[list[FeedSpan], list[FeedEntry]]:
        """The next entries of every shard; the spans are asked for behind the XREAD, so Redis answers them after it."""
        keys = [_stream(shard) for shard in range(self.shards)]
        after = [f"{max(place, 1) - 1}-0" for place in places]
        read: list[Argument] = ["XREAD", "COUNT", AT_ONCE, "BLOCK", max(wait_ms, 1), "STREAMS", *keys, *after]
        replies = await self._tail.call(read, *_span_commands(range(self.shards)), deadline=wait_ms / 1000 + 5)
        found = dict(_checked(replies[0]) or ())
        entries = [_entries(shard, found.get(key.encode(), ())) for shard, key in enumerate(keys)]
        spans = _spans(replies[1:])
        if await self._went_back(spans):
            return await self.follow(places, wait_ms)
        self._followed = spans
        return spans, list(chain.from_iterable(entries))

    async def _went_back(self, spans: Sequence[FeedSpan]) -> bool:
        """Whether a shard has fewer numbers than it had: an older copy of the log is there, and has another epoch from now on. Doors say so
        as well, of what they logged themselves; the one that logged last may be gone."""
        back = False
        for shard, (before, now) in enumerate(zip(self._followed, spans, strict=False)):
            if before.epoch == now.epoch and before.next > now.next:
                seen = now.epoch, before.next - 1, secrets.token_hex(8)
                await self._tail.run(script("feed_back"), prefix(shard), *seen)
                back = True
        self._followed = []
        return back

    async def page(self, shard: int, start: int, limit: int) -> tuple[FeedSpan, list[FeedEntry]]:
        """At most `limit` entries from number `start` on. Callers take turns: so few pages are in memory at a time."""
        async with self._turn:
            replies = await self._pages.call(
                ("XRANGE", _stream(shard), f"{start}-0", "+", "COUNT", limit),
                *_span_commands((shard,)),
            )
        return _spans(replies[1:])[0], _entries(shard, _checked(replies[0]))

    async def unstored(self) -> list[Unstored]:
        """See FeedReader.unstored."""
        async with self._turn:
            found = [(await self._pages.run(script("feed_unstored"), prefix(shard)))[0] for shard in range(self.shards)]
        return [Unstored(epoch.decode(), number, seconds * 1_000_000 + microseconds) for epoch, number, seconds, microseconds in found]

    async def close(self) -> None:
        """Let go of the connections; the next call makes new ones."""
        await self._tail.close()
        await self._pages.close()


def _stream(shard: int) -> str:
    return f"{prefix(shard)}feed"


def _span_commands(shards: Sequence[int]) -> list[Sequence[Argument]]:
    commands: list[Sequence[Argument]] = []
    for shard in shards:
        commands += [("XINFO", "STREAM", _stream(shard)), ("GET", f"{prefix(shard)}epoch")]
    return commands


def _spans(replies: Sequence[Any]) -> list[FeedSpan]:
    """The answers of _span_commands(), two a shard. XDEL and XTRIM both leave their trace: see _lost()."""
    return [_span(info, _checked(epoch)) for info, epoch in zip(replies[::2], replies[1::2], strict=True)]


def _span(info: Any, epoch: bytes | None) -> FeedSpan:
    name = (epoch or b"").decode()
    if isinstance(info, Refused):
        if "no such key" in str(info).lower():
            return FeedSpan(name)
        raise Unavailable(f"the log's Redis refused XINFO: {info}")
    fields = dict(zip(info[::2], info[1::2], strict=True))
    return FeedSpan(name, max(_lost(fields), _behind(name)), _number(fields[b"last-generated-id"]) + 1)


def _behind(epoch: str) -> int:
    """The number that an epoch begins behind: one that an older copy of a log began says so (feed.lua)."""
    return int(epoch.partition(".")[2] or 0)


def _lost(fields: dict[bytes, Any]) -> int:
    """The highest number removed. XDEL is remembered as such; after XTRIM the stream only has fewer entries than were added."""
    removed = _number(fields.get(b"max-deleted-entry-id", b"0-0"))
    if fields.get(b"entries-added", 0) == fields[b"length"]:
        return removed
    first = fields[b"first-entry"]
    return max(removed, _number(first[0]) - 1 if first else _number(fields[b"last-generated-id"]))


def _entries(shard: int, found: Sequence[Any] | None) -> list[FeedEntry]:
    return [FeedEntry(shard, _number(place), fields[1]) for place, fields in found or ()]


def _number(id: bytes) -> int:
    return int(id.partition(b"-")[0])


def _checked(reply: Any) -> Any:
    """The reply, unless it is an error's: then raises Unavailable."""
    if isinstance(reply, Refused):
        raise Unavailable(f"the log's Redis refused to read the feed: {reply}")
    return reply
