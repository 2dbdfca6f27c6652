"""The index of a flush: what stays of it in the log when the store has it and the log has no room (docs/internals.md)."""

import struct
from collections.abc import Iterator

import msgspec

from shared.domain.record import Accepted, Flush
from shared.domain.relaying import Waiting


class IndexGroup(msgspec.Struct, frozen=True, array_like=True):
    """The messages of one flush that are one org's and go to the same backbones: indexes as big-endian u16, ids joined (16 bytes each)."""

    org: str
    targets: tuple[str, ...]
    indexes: bytes
    ids: bytes


_decode = msgspec.msgpack.Decoder(list[IndexGroup]).decode


def index_of(flush: Flush) -> tuple[bytes, str]:
    """What `index:<number>` holds, and what it weighs: `<org>=<bytes> ...`."""
    groups: dict[tuple[str, tuple[str, ...]], tuple[list[bytes], list[bytes]]] = {}
    for index, record in flush.new():
        if isinstance(record, Accepted) and record.targets:
            indexes, ids = groups.setdefault((record.message.org, record.targets), ([], []))
            indexes.append(index.to_bytes(2, "big"))
            ids.append(record.message.id)
    packed = [IndexGroup(org, targets, b"".join(indexes), b"".join(ids)) for (org, targets), (indexes, ids) in groups.items()]
    weights: dict[str, int] = {}
    for group in packed:
        weights[group.org] = weights.get(group.org, 0) + len(msgspec.msgpack.encode(group))
    return msgspec.msgpack.encode(packed), " ".join(f"{org}={weight}" for org, weight in weights.items())


def waiting_in_flush(flush: Flush, backbone: str, done: bytes) -> tuple[Waiting, ...]:
    """The flush's new messages that go to the backbone, but for those in `done` (indexes as in `done:<backbone>`).

    Of the feed's copy of a flush, those that are cut come without the message.
    """
    gone = set(indexes_in(done))
    return tuple(
        Waiting(index, record.message.org, record.message.id, None if record.cut else record.message)
        for index, record in flush.new()
        if isinstance(record, Accepted) and backbone in record.targets and index not in gone
    )


def waiting_in_index(packed: bytes, backbone: str, done: bytes) -> tuple[Waiting, ...]:
    """The same from the index: without the messages."""
    gone = set(indexes_in(done))
    groups = _decode(packed)
    found = [
        Waiting(index, group.org, group.ids[place * 16 : place * 16 + 16], None)
        for group in groups
        if backbone in group.targets
        for place, index in enumerate(indexes_in(group.indexes))
        if index not in gone
    ]
    return tuple(sorted(found, key=lambda waiting: waiting.index))


def indexes_in(packed: bytes) -> Iterator[int]:
    """Big-endian u16s."""
    for (index,) in struct.iter_unpack(">H", packed):
        yield index
