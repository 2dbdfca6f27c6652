"""Where senders are told of verdicts that come later."""

from typing import Protocol


class Receipts(Protocol):
    """Places of shared/domain/replyto.py. Conformance: tests/conformance/receipts.py, run on memory, Redis and NATS."""

    async def tell(self, org: str, place: str, receipt: bytes) -> None:
        """Put a receipt at the org's place. What finds no room there, or nobody who listens, is dropped. Raises Unavailable: then nobody
        knows whether it is there."""
