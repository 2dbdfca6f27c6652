"""What the stream delivers again: looked up in what is recorded before it is published (log.md, "Publish")."""

from collections.abc import Sequence
from time import time

from shared.domain.errors import Unavailable
from shared.domain.message import Message
from shared.domain.stored import FirstCopy
from shared.domain.verdict import Delivery, Outcome, Receipt, Refusal
from shared.ports import FirstCopies

LOG_REMEMBERS_S = 100  # the log's window is 120 s: who was first tried within these is known to it for sure


async def known(messages: Sequence[Message], stored: Sequence[int], store: FirstCopies) -> list[Outcome | None]:
    """The receipt of each message that was accepted before, by its record; None where there is none, and it is to be submitted.

    Whichever backbones it went to: what is recorded as accepted is in the log's hands, and what it still waits for is the relay's.
    `stored` is when each came to its stream (microseconds since 1970). Where the store can't be asked, the log knows of what is younger
    than its window; anything older is Unavailable: to publish it could double it.
    """
    oldest = (time() - LOG_REMEMBERS_S) * 1_000_000
    try:
        found = await _found(messages, store)
    except Unavailable as away:
        return [Refusal(away, message.id) if since <= oldest else None for message, since in zip(messages, stored, strict=True)]
    return [None if copy is None else _receipt(message, copy) for message, copy in zip(messages, found, strict=True)]


async def _found(messages: Sequence[Message], store: FirstCopies) -> list[FirstCopy | None]:
    found: dict[tuple[str, bytes, bytes], FirstCopy] = {}
    for org in {message.org for message in messages}:
        wanted = [(message.id, message.digest) for message in messages if message.org == org]
        found |= {(org, *each): copy for each, copy in (await store.accepted(org, wanted)).items()}
    return [found.get((message.org, message.id, message.digest)) for message in messages]


def _receipt(message: Message, copy: FirstCopy) -> Receipt:
    """Where it was taken, and of the other targets that it isn't yet."""
    taken = {backbone: Delivery(backbone, stream, sequence) for backbone, stream, sequence in copy.taken}
    deliveries = tuple(taken.get(target) or Delivery(target, status="pending") for target in copy.targets)
    return Receipt(message, copy.revision, deliveries, duplicate=True)
