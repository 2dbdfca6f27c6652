"""The relay's side of the log in memory, for unit tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import time

from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.domain.errors import Conflict
from shared.domain.record import Accepted, Deliveries, Flush
from shared.domain.relaying import Gate, Oldest, Pending, Relayed, Retry, Waiting, Watched
from shared.domain.repairing import Mark, Marked

LEASE_S, TOO_OLD_US = 3.0, 5_000_000


@dataclass
class Relays:
    """What the relays of one backbone share: the log, the lease, the retry schedule. `clock` gives seconds since 1970."""

    queue: MemoryLogQueue
    backbone: str
    clock: Callable[[], float] = time
    holder: str = ""
    until: float = 0.0
    turns: int = 0
    stuck: set[tuple[int, int]] = field(default_factory=set)  # (flush, index)
    schedule: dict[Retry, int] = field(default_factory=dict)  # -> microseconds
    marks: dict[str, Mark] = field(default_factory=dict)  # by org
    doubts: dict[str, Mark] = field(default_factory=dict)
    read: int = 0  # flushes whose delivery records are in `marks`
    written: int | None = None  # flushes that are in the store; None: all of them

    @property
    def now(self) -> int:
        return int(self.clock() * 1_000_000)


class MemoryRelayLog:
    """The RelayLog port: one worker. Gates are the queue's `held`, where `closing <n>` is a state and every other text a hold."""

    def __init__(self, relays: Relays, worker: str = "one") -> None:
        self._shared = relays
        self._worker = worker
        self.backbone = relays.backbone

    async def lease(self) -> bool:
        """See RelayLog.lease."""
        shared = self._shared
        if shared.holder != self._worker and shared.clock() < shared.until:
            return False
        if shared.holder != self._worker or shared.clock() >= shared.until:  # taken anew
            shared.queue.pending.setdefault(shared.backbone, set()).update(shared.stuck)
            shared.stuck.clear()
        shared.holder, shared.until = self._worker, shared.clock() + LEASE_S
        return True

    def hold(self, lease: str) -> None:
        """See RelayLog.hold. Here the worker's name is all there is to a lease."""

    async def leave(self) -> None:
        """See RelayLog.leave."""
        if self._shared.holder == self._worker:
            self._shared.until = 0.0

    async def gate(self) -> Gate:
        """See RelayLog.gate."""
        self._fence()
        shared = self._shared
        pending = self._pending()
        if self._stands() == "open" and pending and shared.now - pending[0].logged_at > TOO_OLD_US:
            self._set("held")
        stands = self._stands()
        due = sum(at <= shared.now for at in shared.schedule.values())
        return Gate(_word(stands), stands, shared.now, len(pending), due, len({flush for flush, _ in shared.stuck}))

    async def turn(self, gate: Gate, state: str) -> tuple[Gate | None, int]:
        """See RelayLog.turn."""
        self._fence()
        turned = self._stands() == gate.turn
        if turned:
            self._set(state)
        return (await self.gate() if turned else None), len(self._shared.queue.flushes)

    async def oldest(self, limit: int, last: int | None = None) -> Oldest:
        """See RelayLog.oldest."""
        entries: list[Pending] = []
        for entry in self._pending():
            if last is not None and entry.flush > last:
                continue
            limit -= len(entry.waiting)
            if entries and limit < 0:
                return Oldest(tuple(entries), False)
            entries.append(entry)
        return Oldest(tuple(entries), True)

    async def retries(self, limit: int) -> list[Retry]:
        """See RelayLog.retries."""
        due = sorted((at, retry.flush, retry.index, retry) for retry, at in self._shared.schedule.items() if at <= self._shared.now)
        return [
            Retry(retry.flush, retry.index, retry.attempts, retry.id, retry.org, at, self._record(retry.flush, retry.index).message)
            for at, _, _, retry in due[:limit]
        ]

    async def done(self, relayed: Relayed) -> None:
        """See RelayLog.done."""
        self._fence()
        shared = self._shared
        waiting = shared.queue.pending.setdefault(shared.backbone, set())
        waiting -= {place for place in waiting if place[0] in relayed.whole}
        waiting -= {(flush, index) for flush, indexes in relayed.part for index in indexes}
        shared.stuck |= {place for place in waiting if place[0] in relayed.stuck}
        waiting -= shared.stuck
        for retry in relayed.tried:
            shared.schedule.pop(_bare(retry), None)
        for retry, delay_ms in relayed.again:
            shared.schedule[_bare(retry)] = shared.now + delay_ms * 1000
        if relayed.records:
            shared.queue.flushes.append(Flush(len(shared.queue.flushes) + 1, shared.now, b"", relayed.records))

    async def marks(self) -> list[Marked]:
        """See RelayLog.marks."""
        shared = self._shared
        for flush in shared.queue.flushes[shared.read :]:
            for record in flush.records:
                if isinstance(record, Deliveries) and record.error is None and record.backbone == shared.backbone:
                    self._remember(record)
        shared.read = len(shared.queue.flushes)
        return [Marked(org, mark, shared.doubts.get(org)) for org, mark in shared.marks.items()]

    def _remember(self, taken: Deliveries) -> None:
        shared, highest = self._shared, max(taken.sequences)
        place = taken.sequences.index(highest) * 16
        mark, before = Mark(taken.created, highest, taken.ids[place : place + 16]), shared.marks.get(taken.org)
        if before is not None and (before.created != taken.created or min(taken.sequences) <= before.sequence):
            shared.doubts.setdefault(taken.org, before)
            if before.created == taken.created and highest <= before.sequence:
                return
        shared.marks[taken.org] = mark

    async def trust(self, marked: Sequence[Marked]) -> None:
        """See RelayLog.trust."""
        self._fence()
        for each in marked:
            if self._shared.doubts.get(each.org) == each.doubt:
                self._shared.doubts.pop(each.org, None)

    async def mark(self, org: str, mark: Mark | None) -> None:
        """See RelayLog.mark."""
        self._fence()
        await self.marks()
        self._shared.doubts.pop(org, None)
        self._shared.marks.pop(org, None)
        if mark is not None:
            self._shared.marks[org] = mark

    async def unwritten(self) -> tuple[int | None, int]:
        """See RelayLog.unwritten."""
        last, written = len(self._shared.queue.flushes), self._shared.written
        return (None if written is None or written >= last else written + 1), last

    def _pending(self) -> list[Pending]:
        flushes: dict[int, list[Waiting]] = {}
        for flush, index in sorted(self._shared.queue.pending.get(self._shared.backbone, ())):
            message = self._record(flush, index).message
            flushes.setdefault(flush, []).append(Waiting(index, message.org, message.id, message))
        return [Pending(number, self._shared.queue.flushes[number - 1].logged_at, tuple(waiting)) for number, waiting in flushes.items()]

    def _record(self, flush: int, index: int) -> Accepted:
        record = self._shared.queue.flushes[flush - 1].records[index]
        assert isinstance(record, Accepted)
        return record

    def _stands(self) -> str:
        return self._shared.queue.held.get(self._shared.backbone, "open")

    def _set(self, state: str) -> None:
        shared = self._shared
        shared.turns += 1
        if state == "open":
            shared.queue.held.pop(shared.backbone, None)
        else:
            shared.queue.held[shared.backbone] = f"{state} {shared.turns}"

    def _fence(self) -> None:
        if self._shared.holder != self._worker or self._shared.clock() >= self._shared.until:
            raise Conflict(f"another relay has the lease of backbone {self._shared.backbone}")


def _word(stands: str) -> str:
    return stands.split(" ")[0] if stands.startswith(("open", "closing")) else "held"


def _bare(retry: Retry) -> Retry:
    return Retry(retry.flush, retry.index, retry.attempts, retry.id, retry.org)


class MemoryRelayWatch:
    """The RelayWatch port: of the backbones of these relay logs, which are one worker's."""

    def __init__(self, logs: Sequence[MemoryRelayLog], worker: str = "one") -> None:
        self._logs = logs
        self._worker = worker

    async def look(self, backbones: Sequence[str]) -> dict[str, Watched]:
        """See RelayWatch.look."""
        wanted = [log for log in self._logs if log.backbone in backbones]
        return {log.backbone: Watched(self._worker, LEASE_S, await log.gate()) for log in wanted if await log.lease()}
