"""Messages as the store has them, and what to look for in it."""

import msgspec

from shared.domain.message import Message
from shared.domain.principal import Grant
from shared.domain.record import DeadLetter
from shared.domain.verdict import Shadow


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for. Times are microseconds since 1970. `readable` are the caller's read grants: only rows under one of them."""

    org: str
    readable: tuple[Grant, ...]
    topic: str | None = None  # a NATS pattern
    subject: str | None = None
    source: str | None = None
    event_id: str | None = None
    type: str | None = None
    verdict: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 100
    before: tuple[int, bytes] | None = None  # (received_at, record id) of the last item of the page before


class StoredDelivery(msgspec.Struct, frozen=True):
    backbone: str
    stream: str
    sequence: int | None
    error: str | None
    time: int
    attempt: int = 0
    by: str = "door"


class StoredMessage(msgspec.Struct, frozen=True):
    """One row: an accepted message (its record id is the message id) or an attempt."""

    record_id: bytes
    message: Message
    verdict: str
    rule: str | None
    detail: str | None
    status: int
    logged_at: int
    targets: tuple[str, ...]
    conflict: bool = False
    cut: bool = False
    undeliverable: str | None = None
    redelivered: int = 0
    deliveries: tuple[StoredDelivery, ...] = ()
    shadows: tuple[Shadow, ...] = ()


class FirstCopy(msgspec.Struct, frozen=True, array_like=True):
    """What is recorded of a message that was accepted before: its revision, the backbones it is for, and who took it so far: backbone,
    stream and sequence."""

    revision: int
    targets: tuple[str, ...]
    taken: tuple[tuple[str, str, int | None], ...]


class History(msgspec.Struct, frozen=True):
    """Everything the store knows of one message id: rows newest first, deliveries in time order."""

    rows: tuple[StoredMessage, ...]
    attempts: int
    dead_letters: tuple[DeadLetter, ...] = ()


def first_copy(history: History | None, digest: bytes) -> FirstCopy | None:
    """The accepted message of that digest in a history."""
    for row in history.rows if history is not None else ():
        if row.message.digest == digest and row.verdict == "accepted":
            taken = tuple((one.backbone, one.stream, one.sequence) for one in row.deliveries if one.error is None)
            return FirstCopy(row.message.revision, row.targets, taken)
    return None
