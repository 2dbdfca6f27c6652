"""What the stream delivers again: looked up in what is recorded before it is published (log.md, "Publish")."""

from collections.abc import Sequence
from time import time
from typing import Protocol

from shared.domain.errors import Unavailable
from shared.domain.message import Message
from shared.domain.stored import History, StoredMessage
from shared.domain.verdict import Delivery, Outcome, Receipt, Refusal

LOG_REMEMBERS_S = 100  # the log's window is 120 s: who was first tried within these is known to it for sure


class Store(Protocol):
    """The part of shared.ports.MessageStore that is asked."""

    async def history(self, org: str, id: bytes) -> History | None: ...


async def known(messages: Sequence[Message], stored: Sequence[int], store: Store) -> list[Outcome | None]:
    """The receipt of each message that was accepted before, by its record; None where there is none, and it is to be submitted.

    Whichever backbones it went to: what is recorded as accepted is in the log's hands, and what it still waits for is the relay's.
    `stored` is when each came to its stream (microseconds since 1970). Where the store can't be asked, the log knows of what is younger
    than its window; anything older is Unavailable: to publish it could double it.
    """
    oldest = (time() - LOG_REMEMBERS_S) * 1_000_000
    outcomes: list[Outcome | None] = []
    away: Unavailable | None = None
    for message, since in zip(messages, stored, strict=True):
        try:
            outcomes.append(None if away else await _receipt(message, store))
        except Unavailable as error:
            away = error
            outcomes.append(None)
        if away and since <= oldest:
            outcomes[-1] = Refusal(away, message.id)
    return outcomes


async def _receipt(message: Message, store: Store) -> Outcome | None:
    history = await store.history(message.org, message.id)
    for row in history.rows if history is not None else ():
        if row.message.digest == message.digest and row.verdict == "accepted":
            return Receipt(row.message, row.message.revision, _deliveries(row), duplicate=True)
    return None


def _deliveries(row: StoredMessage) -> tuple[Delivery, ...]:
    """Where it was taken, and of the other targets that it isn't yet."""
    taken = {one.backbone: Delivery(one.backbone, one.stream, one.sequence) for one in row.deliveries if one.error is None}
    return tuple(taken.get(target) or Delivery(target, status="pending") for target in row.targets)
