"""What a publish group's results mean for the log: delivered, to be tried again, a dead letter, or still pending. No I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from shared.domain.config.merge import Delivering
from shared.domain.message import Message
from shared.domain.publishing import Outgoing, Published, PublishedGroup
from shared.domain.record import DeadLetter, Deliveries
from shared.domain.relaying import Pending, Relayed, Retry


@dataclass(frozen=True, slots=True)
class Schedule:
    """`attempts`, `initial_ms` and `max_ms` are of what a reachable backbone refuses, `give_up_after_s` of an unreachable one. Config says
    these of each topic; `look_s` and `longest_pause_s` are the relay's own."""

    attempts: int = 8
    initial_ms: int = 100
    max_ms: int = 30_000
    give_up_after_s: float = 86_400.0
    look_s: float = 0.5  # between two looks at a gate with nothing to do
    longest_pause_s: float = 5.0  # between two probes of a backbone that does not answer

    def delay_ms(self, refusals: int) -> int:
        """How long to wait after that many refusals."""
        return min(self.initial_ms << min(refusals - 1, 20), self.max_ms)


Schedules = Callable[[Message], Schedule]


@lru_cache(maxsize=1024)
def schedule_of(way: Delivering) -> Schedule:
    """What config says of a topic, as a schedule."""
    return Schedule(way.attempts, way.initial_ms, way.max_ms, way.give_up_after_s)


@dataclass(frozen=True, slots=True)
class Item:
    """One message on its way to one backbone: pending there or, with `retry`, refused by it before, or, with `repair`, lost by it."""

    flush: int
    index: int
    message: Message
    retry: Retry | None = None
    repair: bool = False

    def outgoing(self) -> Outgoing:
        return Outgoing(self.message, self.message.revision, known=self.retry is not None, repair=self.repair)


@dataclass
class Round:
    """What is done with some pending entries or retries of one backbone, to be told to the log in one step."""

    backbone: str
    schedules: Schedules
    now: int  # microseconds since 1970
    relayed: Relayed = field(default_factory=Relayed)
    lost: str | None = None  # why something got no PubAck
    delivered: int = 0
    _finished: dict[int, set[int]] = field(default_factory=dict)

    def note(self, org: str, items: Sequence[Item], published: PublishedGroup) -> None:
        """One org's group, and what became of it."""
        told: dict[tuple[str | None, int], list[int]] = {}
        for place, (item, result) in enumerate(zip(items, published.results, strict=True)):
            if result.lost is not None:
                self.lost = result.lost
                continue
            attempts = (item.retry.attempts if item.retry else 0) + 1 if result.refused else 0
            told.setdefault((result.refused, attempts), []).append(place)
            self.finish(item)
            if result.refused is None:
                self.delivered += 1
            else:
                self._refused(item, attempts, result)
        for (refused, attempts), places in told.items():
            self.relayed.records.append(self._deliveries(org, items, published, places, refused, attempts))

    def bury(self, org: str, id: bytes, reason: str, attempts: int = 0) -> None:
        """A dead letter."""
        self.relayed.records.append(DeadLetter(org, id, self.backbone, reason, attempts, self.now))

    def finish(self, item: Item) -> None:
        """No longer waited for: delivered, a dead letter, or on the retry schedule from now on."""
        if item.retry is not None:
            self.relayed.tried.append(item.retry)
        else:
            self.finish_pending(item.flush, item.index)

    def finish_pending(self, flush: int, index: int) -> None:
        self._finished.setdefault(flush, set()).add(index)

    def settle(self, entries: Sequence[Pending]) -> Relayed:
        """Everything, in the log's terms: of `entries`, which are whole, which done in part, which stuck."""
        for entry in entries:
            if entry.stuck is not None:
                self.relayed.stuck.append(entry.flush)
                continue
            finished = self._finished.get(entry.flush, set())
            if all(waiting.index in finished for waiting in entry.waiting):
                self.relayed.whole.append(entry.flush)
            elif finished:
                self.relayed.part.append((entry.flush, tuple(sorted(finished))))
        return self.relayed

    def _refused(self, item: Item, attempts: int, result: Published) -> None:
        message = item.message
        schedule = self.schedules(message)
        if attempts >= schedule.attempts:
            self.bury(message.org, message.id, result.refused or "", attempts)
        else:
            again = Retry(item.flush, item.index, attempts, message.id, message.org)
            self.relayed.again.append((again, schedule.delay_ms(attempts)))

    def _deliveries(
        self, org: str, items: Sequence[Item], published: PublishedGroup, places: Sequence[int], refused: str | None, attempts: int
    ) -> Deliveries:
        return Deliveries(
            org,
            self.backbone,
            published.stream,
            published.created,
            self.now,
            b"".join(items[place].message.id for place in places),
            tuple(published.subjects[place] for place in places),
            tuple(published.results[place].sequence for place in places),
            refused,
            attempts,
            "relay",
        )
