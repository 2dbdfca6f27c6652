"""Log batch: flushes in, rows in the store out. One poison record costs its neighbours nothing."""

from collections.abc import Sequence

import msgspec

from shared.domain.errors import NotProcessable
from shared.domain.logged import Taken
from shared.domain.record import NEW, Flush, pack_records
from shared.ports import FeedWriter, MessageStore

SKIPPED = b"-"[0]  # in a mask: not this record, it is written with another part


async def handle(shard: int, taken: Sequence[Taken], store: MessageStore, cluster: str | None = None) -> None:
    """Write every new record of the flushes. Returns once all of it is committed: in its table, or in quarantine with its bytes.

    Written twice, it is there once. `cluster` is the one whose log they are of, the store's own unless given. Raises Unavailable: then
    none, some or all of it is written, and the caller sends the same again.
    """
    flushes = []
    for flush in taken:
        if isinstance(flush, Flush):
            flushes.append(flush)
        else:
            await store.quarantine(shard, flush.number, 0, flush.packed, flush.reason, cluster)
    await _write(shard, flushes, store, cluster)


async def handle_from(cluster: str, shard: int, taken: Sequence[Taken], store: MessageStore, feed: FeedWriter | None) -> None:
    """handle() for a batch of another cluster, and then show it on the hub's feed, where there is one.

    A feed that can't be written to is found out before anything is committed: what is committed and not shown comes again, and the store
    knows it again only for a while. Raises Unavailable.
    """
    if feed is not None:
        await feed.ready()
    await handle(shard, taken, store, cluster)
    if feed is not None:
        await feed.show(cluster, shard, [flush for flush in taken if isinstance(flush, Flush)])


async def _write(shard: int, flushes: Sequence[Flush], store: MessageStore, cluster: str | None) -> None:
    """Write them in one transaction; where the store refuses that, each half by itself, down to the record it does not take."""
    if not flushes:
        return
    try:
        await store.write(shard, flushes, cluster)
    except NotProcessable as refusal:
        halves = _halves(flushes)
        if halves is None:
            (flush,) = flushes
            for index, record in flush.new():
                await store.quarantine(shard, flush.number, index, pack_records([record]), refusal.detail, cluster)
        else:
            for half in halves:
                await _write(shard, half, store, cluster)


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
