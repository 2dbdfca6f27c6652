"""Records: the entries of the log, and the packed form in which a flush carries them (log.md, "One flush")."""

import struct
from collections.abc import Iterator, Sequence

import msgspec

from shared.domain.message import Message
from shared.domain.verdict import Shadow


class Accepted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="m"):
    """A message whose verdict is `accepted`, and the backbones it goes to. No targets: `undeliverable` says why (`no-route`).

    `cut`: the body isn't whole. That is so in the feed only (bodies over 16 KiB), never in the log. `shadows`: what shadow policies
    would have done.
    """

    message: Message
    targets: tuple[str, ...]
    undeliverable: str | None = None
    cut: bool = False
    shadows: tuple[Shadow, ...] = ()


class Attempt(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="a"):
    """A refused message: its body is cut at 4 KiB (`cut`). `status` and `rule` as in the problem the sender got."""

    record_id: bytes
    message: Message
    cut: bool
    status: int
    rule: str
    detail: str
    shadows: tuple[Shadow, ...] = ()


class RefusalCount(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="c"):
    """How many refusals of one (org, principal, rule) in one second were counted and not recorded. `second`: seconds since 1970."""

    record_id: bytes
    org: str
    principal: str
    rule: str
    second: int
    count: int


class Deliveries(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="d"):
    """Delivery attempts on one stream of one backbone at one time. `ids` is the message ids joined (16 bytes each); `subjects` the
    NATS subjects and `sequences` the stream sequences in the same order. With `error` set, none of them was taken.

    `created` is the stream's creation time as NATS tells it (RFC 3339): a sequence means nothing without it. `attempt` counts
    refusals by a reachable backbone; `by` is `door` or `relay`.
    """

    org: str
    backbone: str
    stream: str
    created: str
    time: int
    ids: bytes
    subjects: tuple[str, ...]
    sequences: tuple[int, ...]
    error: str | None = None
    attempt: int = 0
    by: str = "door"


class DeadLetter(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="x"):
    """A message that could not be delivered to one backbone (empty where there was no route). The payload is the message's own row."""

    org: str
    id: bytes
    backbone: str
    reason: str
    attempts: int
    time: int


class Audit(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="u"):
    """An admin action: who did what to which path, from one config revision to another."""

    record_id: bytes
    org: str
    principal: str
    action: str
    path: str
    time: int
    before: int = 0
    after: int = 0


Record = Accepted | Attempt | RefusalCount | Deliveries | DeadLetter | Audit

# The mask: what the log said of each identity of a flush, a byte each. Readers skip every record that isn't NEW.
NEW, DUPLICATE, CONFLICT, FULL = b"n"[0], b"d"[0], b"c"[0], b"f"[0]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Record]).decode
_HEADER = struct.Struct(">BIIH")  # version, seconds, microseconds, masked records


class Flush(msgspec.Struct, frozen=True, gc=False):
    """One group commit as readers see it. `number` is its place in the shard's log; `logged_at` microseconds by Redis TIME.

    The first `len(mask)` records have an identity and a byte of the mask; the records behind them are all new.
    """

    number: int
    logged_at: int
    mask: bytes
    records: Sequence[Record]

    def new(self) -> Iterator[tuple[int, Record]]:
        """The records that count, each with its index in the flush."""
        masked, every = len(self.mask), enumerate(self.records)
        if self.mask.count(NEW) == masked:  # nearly always
            return every
        return (each for each in every if each[0] >= masked or self.mask[each[0]] == NEW)


SKIPPED = b"-"[0]  # in a mask: not this record, it is in another part
FILLER = RefusalCount(b"", "", "", "", 0, 0)  # in the place of such a record


def part_of(flush: Flush, wanted: frozenset[int]) -> Flush:
    """A flush with only the records of these indexes; fillers stand for the others, so that all keep their places."""
    records: list[Record] = [record if index in wanted else FILLER for index, record in enumerate(flush.records)]
    mask = bytes(NEW if index in wanted else SKIPPED for index in range(len(records)))
    return Flush(flush.number, flush.logged_at, mask, records)


def pack_records(records: Sequence[Record]) -> bytes:
    """The records of a flush as MessagePack; the flush script puts header and mask before them."""
    return _encode(records)


def unpack_flush(number: int, packed: bytes) -> Flush:
    """What the flush script stored under `flush:<number>` or in the feed.

    Raises ValueError where the bytes are not a flush of this version.
    """
    version, seconds, microseconds, masked = _HEADER.unpack_from(packed)
    if version != 1:
        raise ValueError(f"flush {number} has version {version}; this release reads version 1")
    start = _HEADER.size + masked
    return Flush(number, seconds * 1_000_000 + microseconds, packed[_HEADER.size : start], _decode(memoryview(packed)[start:]))


def pack_flush(logged_at: int, mask: bytes, packed_records: bytes) -> bytes:
    """The same bytes that the flush script makes: for adapters without one."""
    return _HEADER.pack(1, logged_at // 1_000_000, logged_at % 1_000_000, len(mask)) + mask + packed_records
