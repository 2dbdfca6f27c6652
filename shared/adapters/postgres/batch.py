"""What a batch of flushes holds, sorted by the table it goes to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from shared.adapters.postgres.copy_rows import Row, day_of
from shared.domain.record import Accepted, Attempt, Audit, DeadLetter, Deliveries, Flush, RefusalCount, pack_records

FlushId = tuple[int, int, bytes]  # number, logged_at, content


@dataclass(slots=True)
class Batch:
    """The records that count, in log order."""

    accepted: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    deliveries: list[Deliveries] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    counts: list[RefusalCount] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)

    def days(self) -> set[int]:
        """The days whose partitions it needs, since 1970."""
        days = {row.day for row in self.accepted}
        days.update(row.day for row in self.attempts)
        days.update(day_of(group.time) for group in self.deliveries)
        return days


def around(days: Iterable[int]) -> set[int]:
    """The days, and those beside them: an identity is the same one on either side of midnight."""
    return {each for day in days for each in (day - 1, day, day + 1)}


def flush_id(flush: Flush) -> FlushId:
    """What tells a flush from every other, and from the other parts of itself when it was bisected.

    The parts differ in their first or last record or in their length, so those are hashed, not the whole.
    """
    hashed = blake2b(flush.mask, digest_size=16)
    hashed.update(len(flush.records).to_bytes(4, "big"))
    if flush.records:
        hashed.update(pack_records((flush.records[0], flush.records[-1])))
    return flush.number, flush.logged_at, hashed.digest()


def sort_out(flushes: Iterable[Flush]) -> Batch:
    """The records of the flushes, by kind."""
    batch = Batch()
    for _ in sort_into(batch, flushes):
        pass
    return batch


def sort_into(batch: Batch, flushes: Iterable[Flush]) -> Iterator[Row]:
    """Sort the records in as they are asked for: each row of a message is given once it is in the batch."""
    accepted = batch.accepted
    for flush in flushes:
        logged_at = flush.logged_at
        for _, record in flush.new():
            if type(record) is Accepted:  # nearly all are
                accepted.append(row := Row(record, logged_at, day_of(record.message.received_at)))
                yield row
            elif type(record) is Attempt:
                batch.attempts.append(row := Row(record, logged_at, day_of(record.message.received_at)))
                yield row
            else:
                _sort_in(batch, record)


def has_twice(flushes: Iterable[Flush]) -> bool:
    """Whether an identity is in them twice (measured: 0.1 us a message)."""
    ids = [record.message.id for flush in flushes for _, record in flush.new() if type(record) is Accepted]
    return len(set(ids)) < len(ids)


def undelivered(rows: Iterable[Row]) -> list[DeadLetter]:
    """A dead letter for each accepted message that goes nowhere. Of rows, not of records: a redelivery is none."""
    letters = []
    for row in rows:
        record = row.record
        if type(record) is Accepted and record.undeliverable is not None:
            letters.append(DeadLetter(record.message.org, record.message.id, "", record.undeliverable, 0, row.logged_at))
    return letters


def _sort_in(batch: Batch, record: object) -> None:
    match record:
        case Deliveries():
            batch.deliveries.append(record)
        case DeadLetter():
            batch.dead_letters.append(record)
        case RefusalCount():
            batch.counts.append(record)
        case Audit():
            batch.audits.append(record)


@dataclass(slots=True)
class Round:
    """Accepted messages of which each identity counts once: `first` by message id, sorted; `repeats` of those within the log window;
    `later`: of the same id, but days apart, which are messages of their own."""

    first: dict[bytes, Row]
    repeats: list[Row]
    later: list[Row]


def next_round(accepted: Sequence[Row]) -> Round:
    """Take the first of each identity. `later` is for the round after."""
    first: dict[bytes, Row] = {row.record.message.id: row for row in reversed(accepted)}
    found = Round(dict(sorted(first.items())), [], [])
    if len(first) < len(accepted):
        for row in accepted:
            known = first[row.record.message.id]
            if known is not row:
                (found.repeats if abs(known.day - row.day) <= 1 else found.later).append(row)
    return found
