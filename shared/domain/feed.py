"""What the live feed holds: flushes, and which of them."""

import msgspec

from shared.domain.record import Accepted, Flush, Record, pack_flush, pack_records

FEED_BODY = 16_384  # bytes of a body that the feed carries; more is cut and fetched by id


class FeedEntry(msgspec.Struct, frozen=True, gc=False):
    """One flush as the feed keeps it: `packed` is what unpack_flush() reads, bodies over 16 KiB cut."""

    shard: int
    number: int
    packed: bytes


class FeedSpan(msgspec.Struct, frozen=True, gc=False):
    """What one shard's feed holds: the numbers behind `lost`, the highest one trimmed away (0: none), and before `next`.

    `epoch` is "" for a shard that never logged anything. Numbers of two epochs have nothing to do with each other.
    """

    epoch: str = ""
    lost: int = 0
    next: int = 0


class Unstored(msgspec.Struct, frozen=True, gc=False):
    """From where on one shard's feed has what no store has yet: entry `number`, logged at `time` (microseconds since 1970), or the next one
    and 0 where the store has everything. ("", 0, 0) for a shard that never logged anything.
    """

    epoch: str = ""
    number: int = 0
    time: int = 0


def cut_for_feed(record: Record) -> Record:
    """The record with a long body cut, and marked so."""
    if not isinstance(record, Accepted):
        return record
    message = record.message
    if message.body is None or len(message.body) <= FEED_BODY:
        return record
    return msgspec.structs.replace(record, message=msgspec.structs.replace(message, body=message.body[:FEED_BODY]), cut=True)


def packed_for_feed(flush: Flush) -> bytes:
    """A flush as the feed has it, long bodies cut."""
    return pack_flush(flush.logged_at, flush.mask, pack_records([cut_for_feed(record) for record in flush.records]))
