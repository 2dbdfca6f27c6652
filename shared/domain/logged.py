"""What the log answers: to a door that writes a message down, and to a logger that reads flushes."""

import msgspec

from shared.domain.message import Message
from shared.domain.record import Flush


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What the log said of one message.

    `outcome` is `new`, `duplicate` (accepted before, same digest), `conflict` (another digest), `full` (over the org's or the log's
    limit: nothing was written) or `unknown` (the log did not answer: it may be there, or not). `flush` and `index` are the place of the
    first copy, `revision` and `targets` those it was accepted under.
    """

    outcome: str
    message: Message
    targets: tuple[str, ...]
    revision: int
    shard: int
    flush: int
    index: int
    undeliverable: str | None = None
    logged: float = 0.0  # time.monotonic() when the log answered: what was logged long ago is the relay's
    epoch: bytes = b""  # of the log that `flush` is a number of: after a lost log the numbers begin again


class Unreadable(msgspec.Struct, frozen=True):
    """A flush whose bytes this release can't read: it goes to quarantine whole."""

    number: int
    packed: bytes
    reason: str


Taken = Flush | Unreadable
