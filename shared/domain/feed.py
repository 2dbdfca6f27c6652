"""What the live feed holds: flushes, and which of them."""

import msgspec


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
