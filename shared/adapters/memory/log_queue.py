"""The door's side of the log in memory, for unit tests: the same answers as the Redis one, without durability."""

from collections.abc import Callable, Sequence
from time import time

from shared.domain.logged import Entry, Run
from shared.domain.message import Message
from shared.domain.record import NEW, Accepted, Attempt, Deliveries, Flush, Record
from shared.ports import Publish

WINDOW_S = 120


class MemoryLogQueue:
    """The LogQueue port. `flushes` is what was logged, a flush a call; `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time, limit_bytes: int = 1 << 30) -> None:
        self.flushes: list[Flush] = []
        self.attempts: list[Attempt] = []
        self.pending: dict[str, set[tuple[int, int]]] = {}
        self.held: dict[str, str] = {}
        self.retries: list[Deliveries] = []
        self._clock = clock
        self._limit = limit_bytes
        self._used: dict[str, int] = {}
        self._known: dict[bytes, tuple[Accepted, int, int, int]] = {}
        self._refusals: dict[tuple[str, str, str, int], int] = {}

    async def append(self, records: Sequence[Accepted], publish: Publish | None = None) -> list[Entry]:
        """See LogQueue.append."""
        number = len(self.flushes) + 1
        entries: list[Entry] = []
        written: list[Record] = []
        for record in records:
            entry = self._look_up(record.message)
            if entry is None and self.over_quota(record.message):
                entry = Entry("full", record.message, (), record.message.revision, 0, 0, 0)
            if entry is None:
                entry = self._write(record, number, len(written))
                written.append(record)
            entries.append(entry)
        if written:
            self.flushes.append(Flush(number, int(self._clock() * 1_000_000), bytes([NEW]) * len(written), written))
        if publish is not None:
            publish(entries)
        return entries

    async def seen(self, messages: Sequence[Message]) -> list[Entry | None]:
        """See LogQueue.seen."""
        return [self._look_up(message) for message in messages]

    async def first(self, entry: Entry) -> Message | None:
        """See LogQueue.first."""
        known = self._known.get(entry.message.id)
        return known[0].message if known else None

    def refuse(self, attempts: Sequence[Attempt]) -> list[bool]:
        """See LogQueue.refuse."""
        return [self._refuse(attempt) for attempt in attempts]

    def may_publish(self, entry: Entry | Run, backbone: str) -> bool:
        """See LogQueue.may_publish."""
        return backbone not in self.held

    async def opened(self, entry: Entry, backbone: str) -> bool:
        """See LogQueue.opened."""
        return backbone not in self.held

    def delivered(self, entries: Sequence[Entry], deliveries: Deliveries) -> None:
        """See LogQueue.delivered."""
        waiting = self.pending.get(deliveries.backbone, set())
        waiting -= {(entry.flush, entry.index) for entry in entries}
        self.flushes.append(Flush(len(self.flushes) + 1, int(self._clock() * 1_000_000), b"", [deliveries]))

    def refused(self, entries: Sequence[Entry], deliveries: Deliveries, retry_ms: int) -> None:
        """See LogQueue.refused."""
        self.retries.append(deliveries)
        self.delivered(entries, deliveries)

    def now(self) -> int:
        """See LogQueue.now."""
        return int(self._clock() * 1_000_000)

    def hold(self, shard: int, backbone: str, reason: str) -> None:
        """See LogQueue.hold."""
        self.held.setdefault(backbone, reason)

    def _look_up(self, message: Message) -> Entry | None:
        known = self._known.get(message.id)
        if known is None or int(self._clock()) - known[3] > WINDOW_S:
            return None
        record, flush, index, _ = known
        outcome = "duplicate" if record.message.digest == message.digest else "conflict"
        return Entry(outcome, message, record.targets, record.message.revision, 0, flush, index, record.undeliverable)

    def over_quota(self, message: Message, besides: int = 0) -> bool:
        """Whether there is no room for the message; `besides` is what is held elsewhere, bytes."""
        total, own = sum(self._used.values()) + besides, self._used.get(message.org, 0) + besides
        size = len(message.body or b"") + 400
        return total + size > self._limit or (total + size > self._limit * 0.75 and own + size > self._limit * 0.25)

    def _write(self, record: Accepted, flush: int, index: int) -> Entry:
        message = record.message
        self._known[message.id] = (record, flush, index, int(self._clock()))
        self._used[message.org] = self._used.get(message.org, 0) + len(message.body or b"") + 400
        for target in record.targets:
            self.pending.setdefault(target, set()).add((flush, index))
        return Entry("new", message, record.targets, message.revision, 0, flush, index, record.undeliverable)

    def _refuse(self, attempt: Attempt) -> bool:
        key = (attempt.message.org, attempt.message.principal, attempt.rule, int(self._clock()))
        self._refusals[key] = seen = self._refusals.get(key, 0) + 1
        if seen <= 10:
            self.attempts.append(attempt)
        return seen <= 10
