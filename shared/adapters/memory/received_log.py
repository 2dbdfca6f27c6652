"""Messages that wait for their verdict, in memory, for unit tests: on the queue of the same log."""

from collections.abc import Callable, Sequence
from time import time

from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.domain.logged import Entry
from shared.domain.message import Message
from shared.domain.received import Entered, Kept, Received, Ruling, Settled
from shared.domain.record import Accepted


class MemoryReceivedLog:
    """The ReceivedLog port. `waiting` has each record and when it came; `clock` gives seconds since 1970."""

    def __init__(self, queue: MemoryLogQueue, clock: Callable[[], float] = time) -> None:
        self.waiting: dict[bytes, tuple[Received, float]] = {}
        self._queue = queue
        self._clock = clock
        self._verdicts: dict[bytes, Settled] = {}

    async def receive(self, records: Sequence[Received]) -> list[Entered]:
        """See ReceivedLog.receive."""
        return [await self._receive(record) for record in records]

    async def settle(self, ruling: Ruling) -> Settled:
        """See ReceivedLog.settle."""
        before = self._verdicts.get(ruling.record_id)
        if before is not None:
            return Settled("duplicate" if before.outcome == "duplicate" else "kept", before.kept)
        if ruling.record_id not in self.waiting:
            return Settled("gone")
        (known,) = await self._queue.seen([ruling.message]) if ruling.record is not None else (None,)
        if known is not None:
            first = Kept(known.revision, known.targets, known.undeliverable)
            if known.outcome == "duplicate":
                return self._decided(ruling, Settled("duplicate", first, known))
            if ruling.kept.refusal is None or ruling.kept.refusal.rule != "identity":
                return Settled("conflict", first, known)
        if isinstance(ruling.record, Accepted):
            (entry,) = await self._queue.append([ruling.record])
            return self._decided(ruling, Settled("new", ruling.kept, entry))
        if ruling.record is not None:
            self._queue.attempts.append(ruling.record)
        return self._decided(ruling, Settled("new", ruling.kept))

    async def overdue(self, older_than_s: float, limit: int, skip: int = 0) -> list[Received]:
        """See ReceivedLog.overdue."""
        now = self._clock()
        return [record for record, since in self.waiting.values() if now - since >= older_than_s][skip : skip + limit]

    async def first(self, entry: Entry) -> Message | None:
        """See ReceivedLog.first."""
        return await self._queue.first(entry)

    async def _receive(self, record: Received) -> Entered:
        if not record.wants_receipt and (first := await self._first_copy(record)) is not None:
            return first
        if self._queue.over_quota(record.message, sum(len(other.message.body or b"") + 400 for other, _ in self.waiting.values())):
            return Entered("full")
        self.waiting[record.record_id] = record, self._clock()
        return Entered("new", record.message.revision)

    async def _first_copy(self, record: Received) -> Entered | None:
        event = record.message.id, record.message.digest
        for other, _ in self.waiting.values():
            if (other.message.id, other.message.digest) == event:
                return Entered("waiting", other.message.revision)
        (known,) = await self._queue.seen([record.message])
        return Entered("duplicate", known.revision) if known is not None and known.outcome == "duplicate" else None

    def _decided(self, ruling: Ruling, settled: Settled) -> Settled:
        self._verdicts[ruling.record_id] = settled
        del self.waiting[ruling.record_id]
        return settled
