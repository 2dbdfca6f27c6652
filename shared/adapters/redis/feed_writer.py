"""The hub's feed, as log-batch adds to it what other clusters logged."""

import asyncio
import secrets
import zlib
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from shared.adapters.redis.keys import prefix
from shared.adapters.redis.link import Argument, Link
from shared.adapters.redis.scripts import script
from shared.domain.feed import packed_for_feed
from shared.domain.record import Flush

AT_ONCE = 4 * 1024 * 1024  # bytes a call, unless a single flush has more: the doors' flushes wait meanwhile


class RedisFeedWriter:
    """Appends to the streams `sb:log:{n}:feed` of the hub's own `shards`. One connection, callers in turn."""

    def __init__(self, url: str, shards: int, limit_bytes: int) -> None:
        self._shards, self._limit = shards, limit_bytes
        self._link = Link(url)
        self._turn = asyncio.Lock()
        self._failing = False

    async def start(self) -> None:
        """Nothing: the connection is made when it is needed."""

    async def stop(self) -> None:
        """Let go of the connection."""
        await self._link.close()

    def reachable(self) -> bool:
        """Whether the Redis answered when it was last asked."""
        return not self._failing

    async def ready(self) -> None:
        """See FeedWriter."""
        async with self._turn:
            self._failing = True
            await self._link.one("PING")
            self._failing = False

    async def show(self, cluster: str, shard: int, flushes: Sequence[Flush]) -> int:
        """See FeedWriter. A cluster's shard is always on the same of the hub's, so that its order stays."""
        whose = f"{cluster}:{shard}"
        key = prefix(zlib.crc32(whose.encode()) % self._shards)
        new = 0
        async with self._turn:
            self._failing = True
            for part in _parts(flushes):
                new += int((await self._link.run(script("show"), key, whose, self._limit, secrets.token_hex(8), *part))[0])
            self._failing = False
        return new


def _parts(flushes: Sequence[Flush]) -> Iterator[list[Argument]]:
    """The flushes as arguments of show.lua, AT_ONCE bytes at a time."""
    part: list[Argument] = []
    size = 0
    for flush in flushes:
        packed = packed_for_feed(flush)
        if part and size + len(packed) > AT_ONCE:
            yield part
            part, size = [], 0
        # A log that was lost begins with number 1 again, at another time; a flush that was too large comes in parts.
        part += (b"%d:%d:%b" % (flush.number, flush.logged_at, blake2b(packed, digest_size=12).digest()), packed)
        size += len(packed)
    if part:
        yield part
