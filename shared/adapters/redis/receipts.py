"""Receipts in the lists of the Redis door, under the bounds that the door itself keeps (docs/internals.md, "The Redis door")."""

from shared.adapters.redis.submit_lists import RedisSubmitLists
from shared.domain.submitted import Batch, Settlement


class RedisReceipts:
    """The Receipts port on Redis, for places `sb:receipts:{<org>}:<name>`. The arguments are RedisSubmitLists'."""

    def __init__(self, url: str, *, limit_bytes: int = 256 * 1024 * 1024) -> None:
        self._lists = RedisSubmitLists(url, limit_bytes=limit_bytes)

    @property
    def dropped(self) -> int:
        """Receipts that found no room."""
        return self._lists.dropped

    async def close(self) -> None:
        """Let the connection go."""
        await self._lists.close()

    async def tell(self, org: str, place: str, receipt: bytes) -> None:
        """See Receipts.tell."""
        await self._lists.settle(org, "taken", Batch(), 0, Settlement([(place, receipt)]))  # of a worker that never holds anything
