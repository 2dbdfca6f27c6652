"""Log batch: flushes in, rows in the store out. One poison record costs its neighbours nothing."""

from collections.abc import Sequence

import msgspec

from shared.domain.errors import NotProcessable
from shared.domain.logged import Taken
from shared.domain.record import NEW, Flush, pack_records
from shared.ports import MessageStore

SKIPPED = b"-"[0]  # in a mask: not this record, it is written with another part


async def handle(shard: int, taken: Sequence[Taken], store: MessageStore) -> None:
    """Write every new record of the flushes. Returns once all of it is committed: in its table, or in quarantine with its bytes.

    Written twice, it is there once. Raises Unavailable: then none, some or all of it is written, and the caller sends the same again.
    """
    flushes = []
    for flush in taken:
        if isinstance(flush, Flush):
            flushes.append(flush)
        else:
            await store.quarantine(shard, flush.number, 0, flush.packed, flush.reason)
    await _write(shard, flushes, store)


async def _write(shard: int, flushes: Sequence[Flush], store: MessageStore) -> None:
    """Write them in one transaction; where the store refuses that, each half by itself, down to the record it does not take."""
    if not flushes:
        return
    try:
        await store.write(shard, flushes)
    except NotProcessable as refusal:
        halves = _halves(flushes)
        if halves is None:
            (flush,) = flushes
            for index, record in flush.new():
                await store.quarantine(shard, flush.number, index, pack_records([record]), refusal.detail)
        else:
            for half in halves:
                await _write(shard, half, store)


def _halves(flushes: Sequence[Flush]) -> tuple[Sequence[Flush], Sequence[Flush]] | None:
    """Half of the flushes each; of a single one, half of its new records each. None where there is nothing left to halve."""
    if len(flushes) > 1:
        middle = len(flushes) // 2
        return flushes[:middle], flushes[middle:]
    (flush,) = flushes
    indexes = [index for index, _ in flush.new()]
    if len(indexes) <= 1:
        return None
    middle = len(indexes) // 2
    return [_only(flush, indexes[:middle])], [_only(flush, indexes[middle:])]


def _only(flush: Flush, indexes: Sequence[int]) -> Flush:
    """The flush with these records alone; they keep their indexes."""
    mask = bytearray([SKIPPED]) * len(flush.records)
    for index in indexes:
        mask[index] = NEW
    return msgspec.structs.replace(flush, mask=bytes(mask))
