"""Messages that are logged before anybody has judged them: brokered wiring (architecture.md, "Inline, remote or brokered")."""

from typing import Literal

import msgspec

from shared.domain.logged import Entry
from shared.domain.message import Message
from shared.domain.principal import Grant
from shared.domain.record import Accepted, Attempt
from shared.domain.refused import Refused
from shared.domain.replyto import replyto_of
from shared.domain.verdict import Shadow


class Received(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="r"):
    """A message that was acknowledged and waits for its verdict. Packed as MessagePack: append, never reorder.

    `record_id` is its own (UUIDv7): an identity may be received anew after a refusal. It names the principal and the revision in force.
    `grants` are a token's principal's, which config doesn't have.
    """

    record_id: bytes
    message: Message
    grants: tuple[Grant, ...] = ()

    @property
    def wants_receipt(self) -> bool:
        """Whether its sender is to be told the verdict: then each copy of it gets one, that of the first or `duplicate`."""
        return replyto_of(self.message) is not None


class Entered(msgspec.Struct, frozen=True):
    """What the log said of a received message: `new`; `waiting` (the same event is there and waits for its verdict), `duplicate` (it was
    accepted in the recent window), neither of which is said of what wants a receipt; or `full` (nothing was written). `revision` is the
    first copy's, 0 where that isn't known."""

    outcome: Literal["new", "waiting", "duplicate", "full"]
    revision: int = 0


class Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The first verdict on a received message. `refusal` is None for accepted; then `targets` are where it goes."""

    revision: int
    targets: tuple[str, ...] = ()
    undeliverable: str | None = None
    shadows: tuple[Shadow, ...] = ()
    refusal: Refused | None = None


class Ruling(msgspec.Struct, frozen=True):
    """A verdict to be logged, unless there is one. `record` is its log record; None where the same event was accepted before under another
    spelling, whose entry the verdict names."""

    record_id: bytes
    message: Message
    kept: Kept
    record: Accepted | Attempt | None


class Settled(msgspec.Struct, frozen=True):
    """What the log said of a ruling.

    `new`: it is the verdict now, and logged. `kept`: there was one. `duplicate`: the same event was accepted before, and that is the
    verdict, now or already. `conflict`: another event of this identity was accepted before, at `entry`; nothing was logged. `gone`: the
    log knows nothing of the record any more, its verdict is long past.
    """

    outcome: Literal["new", "kept", "duplicate", "conflict", "gone"]
    kept: Kept | None = None
    entry: Entry | None = None
