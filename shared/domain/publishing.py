"""Messages on their way to a stream, and what became of them there."""

import msgspec

from shared.domain.message import Message


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message on its way to a stream. `revision` goes into `ce-sbrevision`; a `known` one is published alone, never in a batch."""

    message: Message
    revision: int
    known: bool = False
    nats_id: str | None = None  # Nats-Msg-Id; None: the message id. Replays have their own.
    repair: bool = False  # published again to a stream that lost it


class Published(msgspec.Struct, frozen=True, gc=False):
    """What became of one Outgoing: taken (`sequence`), refused by a reachable backbone (`refused`), or unknown (`lost`: no PubAck)."""

    sequence: int = 0
    duplicate: bool = False
    refused: str | None = None
    lost: str | None = None


class PublishedGroup(msgspec.Struct, frozen=True):
    """One publish group on one stream: `results` in the order given. `created`: the stream's creation time, as NATS tells it."""

    backbone: str
    stream: str
    created: str
    subjects: tuple[str, ...]
    results: tuple[Published, ...]
