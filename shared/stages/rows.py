"""`switchboard.log.batch` on the wire: the body, and the proof that it comes from a process of ours (contracts.md)."""

import hmac
import re
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shared.domain.errors import Malformed, Unauthenticated
from shared.domain.logged import Taken, Unreadable
from shared.domain.record import Flush, pack_flush, pack_records, part_of, unpack_flush

EVENT_TYPE = "switchboard.log.batch"
PROOF, SHARD, SOURCE = "ce-sbproof", "ce-sbshard", "ce-source"  # headers
MAX_BYTES = 48 * 1024 * 1024  # of a body

_SOURCE = re.compile("/clusters/([a-z0-9][a-z0-9-]{0,39})/logger")
_entry = struct.Struct(">QI")  # flush number, bytes that follow


def pack_batch(flushes: Iterable[tuple[int, bytes]]) -> bytes:
    """The body: for each flush its number (u64), its length (u32) and the bytes that unpack_flush() reads; big-endian."""
    return b"".join(part for number, packed in flushes for part in (_entry.pack(number, len(packed)), packed))


class Packed(NamedTuple):
    """One entry of a body, and the flush it was made of."""

    number: int
    packed: bytes
    flush: Taken


def packed(flush: Taken) -> Packed:
    """A flush as it goes into a body: the bytes the log had."""
    if isinstance(flush, Flush):
        return Packed(flush.number, pack_flush(flush.logged_at, flush.mask, pack_records(flush.records)), flush)
    return Packed(flush.number, flush.packed, flush)


def split(entry: Packed) -> list[Packed]:
    """A flush in two parts, each with the half of its new records and fillers for the others, so that all keep their indexes.

    One that has a single record is itself. What can't be read has no parts: its first half is what quarantine gets to see.
    """
    if not isinstance(entry.flush, Flush):
        return [entry._replace(packed=entry.packed[: len(entry.packed) // 2])]
    new = [index for index, _ in entry.flush.new()]
    middle = len(new) // 2
    return [packed(part_of(entry.flush, frozenset(half))) for half in (new[:middle], new[middle:])] if middle else [entry]


def unpack_batch(body: bytes) -> list[Taken]:
    """The flushes of a body. Raises Malformed where its lengths don't add up; a flush that can't be read is Unreadable."""
    taken: list[Taken] = []
    place = 0
    while place < len(body):
        if len(body) - place < _entry.size:
            raise Malformed("the batch ends inside a flush's header")
        number, length = _entry.unpack_from(body, place)
        place += _entry.size
        if len(body) - place < length:
            raise Malformed(f"the batch ends inside flush {number}")
        taken.append(_unpacked(number, body[place : place + length]))
        place += length
    return taken


def _unpacked(number: int, packed: bytes) -> Flush | Unreadable:
    try:
        return unpack_flush(number, packed)
    except (ValueError, struct.error) as error:
        return Unreadable(number, packed, f"{type(error).__name__}: {error}")


def source_of(cluster: str) -> str:
    """The `source` of the batches of a cluster's loggers."""
    return f"/clusters/{cluster}/logger"


def cluster_of(source: str) -> str:
    """The cluster whose loggers have this `source`. Raises Malformed."""
    found = _SOURCE.fullmatch(source)
    if found is None:
        raise Malformed("source must be /clusters/<cluster>/logger: whose log the batch is of")
    return found[1]


def proof_of(key: bytes, source: str, shard: int, body: bytes) -> str:
    """HMAC-SHA-256 over event type, source, shard and body, in hex."""
    return hmac.new(key, b"%s\n%s\n%d\n" % (EVENT_TYPE.encode(), source.encode(), shard) + body, "sha256").hexdigest()


def check_proof(keys: Sequence[bytes], source: str, shard: int, body: bytes, proof: str) -> None:
    """Raises Unauthenticated unless one of the keys made the proof."""
    if not any(hmac.compare_digest(proof_of(key, source, shard, body).encode(), proof.encode()) for key in keys):
        raise Unauthenticated("the batch's proof (extension sbproof) is missing or wrong")
