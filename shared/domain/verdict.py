"""Verdicts and receipts: what was decided, and what the sender is told."""

import msgspec

from shared.domain.errors import SwitchboardError
from shared.domain.message import Message


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message put on one backbone: stream and sequence; or `status: pending` (logged, the relay delivers); or the error."""

    backbone: str
    stream: str | None = None
    sequence: int | None = None
    status: str | None = None
    error: str | None = None


class Receipt(msgspec.Struct, frozen=True):
    """What the sender of an accepted message gets back."""

    message: Message
    revision: int
    deliveries: tuple[Delivery, ...]
    duplicate: bool = False
    status: str = "accepted"


class Refusal(msgspec.Struct, frozen=True):
    """What the sender of any other event gets back. `id` is None where the event has no identity (its source or id could not be read).

    `recorded` says whether `/v1/messages/<id>` shows this refusal; `revision` the config revision it was decided under.
    """

    error: SwitchboardError
    id: bytes | None = None
    revision: int = 0
    recorded: bool = False


Outcome = Receipt | Refusal
