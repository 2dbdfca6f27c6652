"""The looks at all relays of one shard: a script for a hundred backbones, on a connection that no relay's work keeps busy."""

from collections.abc import Sequence

from shared.adapters.redis.keys import prefix
from shared.adapters.redis.link import Link
from shared.adapters.redis.relay_log import LEASE_MS, TOO_OLD_US, gate_of
from shared.adapters.redis.scripts import script
from shared.domain.relaying import Watched

AT_ONCE = 100  # backbones a script: about half a millisecond of the server's, in which nobody else is served
RENEW_BELOW = 0.8  # of what a lease lasts: a renewal is a write to the disk


class RedisRelayWatch:
    """The RelayWatch port on Redis, for the worker of that name."""

    def __init__(self, url: str, shard: int, worker: str, *, lease_ms: int = LEASE_MS, too_old_us: int = TOO_OLD_US) -> None:
        self._worker = worker
        self._prefix = prefix(shard)
        self._lasts = lease_ms
        self._too_old_us = too_old_us
        self._link = Link(url)

    async def look(self, backbones: Sequence[str]) -> dict[str, Watched]:
        """See RelayWatch.look."""
        found: dict[str, Watched] = {}
        for start in range(0, len(backbones), AT_ONCE):
            some = backbones[start : start + AT_ONCE]
            settings = (self._worker, self._lasts, int(self._lasts * RENEW_BELOW), self._too_old_us)
            ((seconds, microseconds, *stands),) = await self._link.run(script("relay_watch"), self._prefix, *settings, *some)
            now = seconds * 1_000_000 + microseconds
            for backbone, each in zip(some, stands, strict=True):
                if each:
                    fence, left, *gate = each
                    found[backbone] = Watched(f"{self._worker} {fence}", left / 1000, gate_of(gate[0], now, *gate[1:]))
        return found

    async def close(self) -> None:
        """Let the connection go."""
        await self._link.close()
