"""The last good config snapshot of an edge, in its log's Redis: there for a process whose own disk is new, while the hub is away."""

from hashlib import sha256
from typing import Any

from shared.adapters.redis.keys import SNAPSHOT
from shared.adapters.redis.link import Link

DEADLINE = 2.0  # seconds a call; a snapshot has some megabytes at most


class RedisSnapshotKeeper:
    """SnapshotKeeper in one hash: the bytes, and their digest, so that a cluster's processes don't all write the same. A connection each
    time: it is wanted at a start, and when config changes."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def keep(self, packed: bytes) -> None:
        """See SnapshotKeeper."""
        link, digest = Link(self._url, deadline=DEADLINE), sha256(packed).digest()
        try:
            if await link.one("HGET", SNAPSHOT, "digest") != digest:
                await link.one("HSET", SNAPSHOT, "digest", digest, "packed", packed)
        finally:
            await link.close()

    async def kept(self) -> bytes | None:
        """See SnapshotKeeper."""
        link = Link(self._url, deadline=DEADLINE)
        try:
            found: Any = await link.one("HGET", SNAPSHOT, "packed")
        finally:
            await link.close()
        return None if found is None else bytes(found)
