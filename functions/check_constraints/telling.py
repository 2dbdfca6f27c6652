"""Brokered: the receipt of a verdict that comes after its sender was answered, at the place that the event names (`replyto`)."""

from shared.codec import encode_receipt
from shared.domain.message import Message
from shared.domain.received import Received, Settled
from shared.domain.refused import error_of
from shared.domain.replyto import replyto_of
from shared.domain.verdict import Delivery, Outcome, Receipt, Refusal, dead_letter
from shared.ports import Receipts


async def tell(received: Received, settled: Settled, receipts: Receipts) -> None:
    """Tell the sender of a record what its verdict is, where it said so. To be called once that is logged. Raises Unavailable."""
    place = replyto_of(received.message)
    if place is not None and (outcome := outcome_of(received.message, settled)) is not None:
        await receipts.tell(received.message.org, place, encode_receipt(outcome))


def outcome_of(message: Message, settled: Settled) -> Outcome | None:
    """What a door would have answered at this moment: logged, and not yet delivered. None where the verdict is long past."""
    kept = settled.kept
    if kept is None:
        return None
    if kept.refusal is not None:
        return Refusal(error_of(kept.refusal), message.id, kept.revision, recorded=True)
    pending = tuple(Delivery(backbone, status="pending") for backbone in kept.targets)
    return Receipt(message, kept.revision, pending or (dead_letter(kept.undeliverable),), settled.outcome == "duplicate")
