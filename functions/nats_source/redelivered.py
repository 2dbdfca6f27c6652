"""What the stream delivers again: looked up in the delivery records before it is published (log.md, "Publish")."""

from collections.abc import Sequence
from time import time
from typing import Protocol

from shared.domain.errors import Unavailable
from shared.domain.message import Message
from shared.domain.snapshot import Snapshot
from shared.domain.stored import History
from shared.domain.verdict import Delivery, Outcome, Receipt, Refusal

LOG_REMEMBERS_S = 100  # the log's window is 120 s: who was first tried within these is known to it for sure


class Store(Protocol):
    """The part of shared.ports.MessageStore that is asked."""

    async def delivered(self, backbone: str, wanted: Sequence[tuple[bytes, bytes]]) -> set[tuple[bytes, bytes]]: ...

    async def history(self, org: str, id: bytes) -> History | None: ...


async def known(messages: Sequence[Message], stored: Sequence[int], snapshot: Snapshot, store: Store) -> list[Outcome | None]:
    """The receipt of each message that a backbone is recorded to have taken already; None where it is to be submitted.

    `stored` is when each came to its stream (microseconds since 1970). Where the store can't be asked, the log knows of what is younger
    than its window; anything older is Unavailable: to publish it could double it.
    """
    try:
        taken = await store.delivered(snapshot.home, [(message.id, message.digest) for message in messages])
    except Unavailable as error:
        oldest = (time() - LOG_REMEMBERS_S) * 1_000_000
        return [None if since > oldest else Refusal(error, message.id) for message, since in zip(messages, stored, strict=True)]
    return [await _receipt(message, store) if (message.id, message.digest) in taken else None for message in messages]


async def _receipt(message: Message, store: Store) -> Outcome | None:
    try:
        history = await store.history(message.org, message.id)
    except Unavailable as error:
        return Refusal(error, message.id)
    for row in history.rows if history is not None else ():
        if row.message.digest == message.digest and row.verdict == "accepted":
            taken = tuple(Delivery(one.backbone, one.stream, one.sequence) for one in row.deliveries if one.error is None)
            return Receipt(row.message, row.message.revision, taken, duplicate=True) if taken else None
    return None
