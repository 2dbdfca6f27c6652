"""Receipts in memory, for unit tests: `told` has them by place."""

from shared.domain.errors import Unavailable


class MemoryReceipts:
    """The Receipts port. While it is `away`, nothing can be told."""

    def __init__(self) -> None:
        self.told: dict[str, list[bytes]] = {}
        self.away = False

    async def tell(self, org: str, place: str, receipt: bytes) -> None:
        """See Receipts.tell."""
        if self.away:
            raise Unavailable("the place can't be reached")
        self.told.setdefault(place, []).append(receipt)
