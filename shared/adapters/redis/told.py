"""What a door was told by the backbones and has yet to tell the log: completions, holds, delivery records."""

import logging
from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from shared.adapters.redis.marks import told_by
from shared.domain.logged import Entry, Fresh
from shared.domain.record import Deliveries, Record, pack_records

Seen = tuple[int, int, int]  # a flush: its number, and when it was logged by Redis TIME, seconds and microseconds
NOTHING: Seen = (0, 0, 0)

_encode = msgspec.msgpack.Encoder().encode
log = logging.getLogger(__name__)


class Carried(msgspec.Struct):
    """What one flush carries besides messages."""

    epoch: bytes  # the log's that the numbers are of
    whole: dict[str, list[int]]
    part: dict[tuple[str, int], list[int]]
    retry: list[tuple[str, str, int]]
    hold: set[str]
    records: list[Record]

    @property
    def anything(self) -> bool:
        return bool(self.records or self.whole or self.part or self.retry or self.hold)

    def packed(self, seen: Seen = NOTHING) -> bytes:
        """As flush.lua reads it. `seen`: a flush that the log must have, if it is the one that the numbers are of."""
        return _encode(
            {
                "epoch": self.epoch.decode(),
                "seen": seen,
                "whole": [[backbone, *map(str, numbers)] for backbone, numbers in self.whole.items()],
                "part": [[backbone, str(number), indexes] for (backbone, number), indexes in self.part.items()],
                "retry": self.retry,
                "hold": sorted(self.hold),
                "marks": told_by(self.records),
            }
        )


def packable(carried: Carried) -> Carried:
    """Without the records that can't be packed: each flush from then on would fail with them, and whatever else was to be logged."""
    return msgspec.structs.replace(carried, records=[record for record in carried.records if _packs(record)])


def _packs(record: Record) -> bool:
    try:
        pack_records([record])
        told_by([record])
    except Exception:
        log.exception("a record can't be packed, and is left out: %r", record)
        return False
    return True


class Told:
    """Counts, for every flush of this process and backbone, what is still out; a flush that is complete is one entry, not hundreds."""

    def __init__(self) -> None:
        self._epoch = b""
        self._left: dict[tuple[str, int], int] = {}
        self._done: dict[tuple[str, int], list[int]] = {}
        self._whole: dict[str, list[int]] = {}
        self._part: dict[tuple[str, int], list[int]] = {}
        self._retry: list[tuple[str, str, int]] = []
        self._records: list[Record] = []

    def of_epoch(self, epoch: bytes) -> None:
        """The log's epoch, as it said last. After another one the log was lost, or went back: its numbers mean other flushes now."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._left, self._done, self._whole, self._part, self._retry = {}, {}, {}, {}, []

    def expect(self, number: int, counts: Iterable[tuple[str, int]]) -> None:
        """A flush was logged, and this process publishes that many of its messages to each backbone."""
        for backbone, count in counts:
            self._left[backbone, number] = count

    def delivered(self, entries: Sequence[Entry], deliveries: Deliveries) -> None:
        """These are no longer pending on the deliveries' backbone."""
        backbone = deliveries.backbone
        self._records.append(deliveries)
        if isinstance(entries, Fresh):  # nearly always
            of_flushes: dict[int, list[Sequence[int]]] = {}
            for run in entries.runs:
                if run.epoch == self._epoch:
                    of_flushes.setdefault(run.flush, []).append(range(run.first, run.first + len(run.records)))
            for flush, indexes in of_flushes.items():
                self._complete(backbone, flush, indexes)
            return
        if {entry.epoch for entry in entries} != {self._epoch}:
            entries = [entry for entry in entries if entry.epoch == self._epoch]
        known = [entry for entry in entries if entry.outcome == "duplicate"]
        own = [entry for entry in entries if entry.outcome != "duplicate"] if known else entries
        found: dict[int, list[int]] = {}
        for entry in own:
            found.setdefault(entry.flush, []).append(entry.index)
        for flush, places in found.items():
            self._complete(backbone, flush, [places])
        for entry in known:  # logged by another flush, maybe another door's
            self._part.setdefault((backbone, entry.flush), []).append(entry.index)

    def _complete(self, backbone: str, flush: int, indexes: Sequence[Sequence[int]]) -> None:
        """These messages of a flush are no longer pending on the backbone."""
        key, count = (backbone, flush), sum(map(len, indexes))
        left = self._left.get(key)
        if left == count:
            del self._left[key]
            self._done.pop(key, None)
            self._whole.setdefault(backbone, []).append(flush)
        elif left is None:  # handed to the relay: it must learn which ones
            self._part.setdefault(key, []).extend(chain(*indexes))
        else:
            self._left[key] = left - count
            self._done.setdefault(key, []).extend(chain(*indexes))

    def refused(self, entries: Sequence[Entry], deliveries: Deliveries, delay_ms: int) -> None:
        """A reachable backbone refused these: off the pending list, onto its retry schedule, counted as attempt 1."""
        self._retry += [
            (deliveries.backbone, f"{entry.flush}:{entry.index}:1:{entry.message.id.hex()}:{entry.message.org}", delay_ms)
            for entry in entries
        ]
        self.delivered(entries, deliveries)

    def hand_over(self, backbone: str) -> None:
        """The relay delivers from now on: tell it what of each flush is done, and forget the rest."""
        for key in [key for key in self._left if key[0] == backbone]:
            del self._left[key]
            done = self._done.pop(key, None)
            if done:
                self._part.setdefault(key, []).extend(done)

    @property
    def anything(self) -> bool:
        return bool(self._records or self._whole or self._part or self._retry)

    def take(self, hold: set[str], most: int = 4_000) -> Carried:
        """What the next flush carries; `most` records of it."""
        records, self._records = self._records[:most], self._records[most:]
        carried = Carried(self._epoch, self._whole, self._part, self._retry, hold, records)
        self._whole, self._part, self._retry = {}, {}, []
        return carried

    def give_back(self, carried: Carried) -> None:
        """The flush failed: carry it again. Applied twice, it completes nothing twice; a delivery record may stand there twice."""
        if carried.epoch != self._epoch:
            self._records = carried.records + self._records
            return
        for backbone, numbers in carried.whole.items():
            self._whole.setdefault(backbone, []).extend(numbers)
        for key, indexes in carried.part.items():
            self._part.setdefault(key, []).extend(indexes)
        self._retry = carried.retry + self._retry
        self._records = carried.records + self._records
