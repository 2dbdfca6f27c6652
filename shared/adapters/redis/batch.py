"""What a flush is made of while it collects: records, the flush script's arguments, and who waits for the answer."""

import asyncio
import struct
from collections.abc import Sequence

import msgspec

from shared.domain.errors import Unavailable
from shared.domain.feed import FEED_BODY, cut_for_feed
from shared.domain.logged import Entry, Fresh, Run
from shared.domain.message import Message
from shared.domain.record import CONFLICT, DUPLICATE, NEW, Accepted, Deliveries, Record, pack_records
from shared.ports import Publish
from shared.speedups import core

MAX_RECORDS, MAX_BYTES = 1_000, 8_388_608
OVERHEAD = 400  # bytes a record takes beside its body: attributes, identity, places in lists

if core is not None:
    core.bind_batch(Message, Accepted)

_meta = struct.Struct(">16s32sHHII").pack
_hit = struct.Struct(">IIQH").unpack_from  # revision, second, flush, index: behind the 32 bytes of the digest
_ZERO = bytes(32)


class Batch:
    """One flush before it is sent. Equal identities are merged here: one record, each sender its own answer."""

    def __init__(self) -> None:
        self.records: list[Accepted] = []
        self.size = 0
        self.waiters: list[Part | LookUps] = []
        self._places: dict[bytes, int] = {}
        self._meta = bytearray()
        self._lookups: list[bytes] = []
        self._orgs: dict[str, int] = {}
        self._targets: dict[tuple[str, ...], int] = {}
        self._cut = False
        self.number = 0
        self.epoch = b""
        self.logged = 0.0
        self.mask = b""
        self._all_new = False
        self._hits: dict[int, bytes] = {}

    def has_room(self, count: int, size: int) -> bool:
        """Whether so many more records, of so many bytes, fit; into an empty one any single record does."""
        held = len(self.records) + len(self._lookups)
        return not held or (held + count <= MAX_RECORDS and self.size + size <= MAX_BYTES)

    def wait(self, part: "Part | LookUps") -> None:
        """Tell the part when this flush is answered; parts are told in the order they came."""
        self.waiters.append(part)

    def add(self, records: Sequence[Accepted]) -> tuple[list[int], bool]:
        """The place of each record in the flush; minus one minus the place of its twin where the identity is there already. And whether
        those that have a place of their own are all of one org and for the same backbones."""
        places, metas, kept = self._places, self._meta, self.records
        orgs, targets, size = self._orgs, self._targets, self.size
        if core is not None:
            made: tuple[list[int], int, int, bool] | None = core.add(records, places, kept, metas, orgs, targets)
            if made is not None:
                self.size += made[1]
                self._cut = self._cut or made[2] > FEED_BODY
                return made[0], made[3]
        answer: list[int] = []
        kinds: set[tuple[int, int]] = set()
        for record in records:
            message = record.message
            place = len(kept)
            first = places.setdefault(message.id, place)
            if first != place:
                answer.append(-1 - first)
                continue
            body = message.body
            length = OVERHEAD if body is None else OVERHEAD + len(body)
            if length > FEED_BODY:
                self._cut = True
            kind = orgs.setdefault(message.org, len(orgs)), targets.setdefault(record.targets, len(targets))
            metas += _meta(message.id, message.digest, *kind, length, message.revision)
            kinds.add(kind)
            kept.append(record)
            size += length
            answer.append(place)
        self.size = size
        return answer, len(kinds) <= 1

    def look_up(self, message: Message) -> int:
        """A place, counted from the first look-up, for an identity that is only asked for."""
        self._lookups.append(_meta(message.id, message.digest, 0, 0, 0, 0))
        return len(self._lookups) - 1

    def arguments(self, extra: list[Record], limit: int, told: bytes, epoch: str) -> tuple[bytes | int | str, ...]:
        """ARGV of flush.lua."""
        records: list[Record] = [*self.records, *extra]
        packed = pack_records(records) if records else b""
        return (
            b"".join((self._meta, *self._lookups)),
            len(self.records),
            len(self._lookups),
            "".join(f"{org}\n" for org in self._orgs),
            "".join(f"{','.join(targets)}\n" for targets in self._targets),
            packed,
            pack_records([cut_for_feed(record) for record in records]) if self._cut else b"",
            limit,
            sum(size_of(record) for record in extra),
            told,
            epoch,
        )

    def shift_clock(self, now: int) -> None:
        """Give every record the time `now` (microseconds): the door's clock is more than 5 minutes off Redis TIME."""
        self.records = [
            msgspec.structs.replace(record, message=msgspec.structs.replace(record.message, received_at=now)) for record in self.records
        ]

    def answered(self, number: int, epoch: bytes, logged: float, mask: bytes, hits: list[bytes]) -> None:
        """Note the script's answer. `logged`: time.monotonic() when it came."""
        self.number, self.epoch, self.logged, self.mask = number, epoch, logged, mask
        answers = iter(hits)
        self._all_new = mask.count(NEW) == len(mask)
        self._hits = {place: next(answers) for place, said in enumerate(mask) if said in (DUPLICATE, CONFLICT)} if hits else {}

    def entries(self, places: Sequence[int], alike: bool, records: Sequence[Accepted], shard: int) -> Sequence[Entry]:
        """What the log said of the records that add() gave this answer for."""
        if alike and self._all_new and places[0] >= 0 and places[-1] - places[0] == len(places) - 1:  # all there, none merged
            return Fresh([Run(records, shard, self.number, places[0], self.logged, self.epoch)])
        return [self._entry(place, record, shard) for place, record in zip(places, records, strict=True)]

    def _entry(self, place: int, record: Accepted, shard: int) -> Entry:
        own, place = place >= 0, max(place, -1 - place)
        said, message = self.mask[place], record.message
        if said == NEW:
            first = self.records[place]
            outcome = "new" if own else "duplicate" if first.message.digest == message.digest else "conflict"
            revision = first.message.revision
            return Entry(outcome, message, first.targets, revision, shard, self.number, place, first.undeliverable, self.logged, self.epoch)
        if said in (DUPLICATE, CONFLICT):
            return self._known(self._hits[place], message, shard)
        return Entry("full", message, (), message.revision, shard, 0, 0)

    def found(self, place: int, message: Message, shard: int) -> Entry | None:
        """What the log knew of a look-up."""
        hit = self._hits.get(len(self.records) + place)
        return None if hit is None else self._known(hit, message, shard)

    def _known(self, hit: bytes, message: Message, shard: int) -> Entry:
        revision, _, flush, index = _hit(hit, 32)
        targets = tuple(hit[50:].decode().split(",")) if len(hit) > 50 else ()
        outcome = "duplicate" if hit[:32] == message.digest else "conflict"
        return Entry(outcome, message, targets, revision, shard, flush, index, None if targets else "no-route", self.logged, self.epoch)

    def new_by_backbone(self) -> dict[str, int]:
        """How many new records of this flush each backbone gets."""
        if self._all_new and len(self._targets) == 1:
            return dict.fromkeys(next(iter(self._targets)), len(self.records))
        counts: dict[tuple[str, ...], int] = {}
        for record, said in zip(self.records, self.mask, strict=False):
            if said == NEW:
                counts[record.targets] = counts.get(record.targets, 0) + 1
        backbones: dict[str, int] = {}
        for targets, count in counts.items():
            for backbone in targets:
                backbones[backbone] = backbones.get(backbone, 0) + count
        return backbones

    def settle(self, error: Unavailable | None = None) -> None:
        """Tell everyone who waits for this flush."""
        for part in self.waiters:
            part.settle(self, error)


class Part:
    """Records of one append() that went into one flush. `entries` is done when that is answered, after `publish` was given them: lanes
    are filled here, in the log's order, whoever's turn it is in the loop afterwards."""

    __slots__ = ("_alike", "_places", "_publish", "_records", "_shard", "entries")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        shard: int,
        places: list[int],
        alike: bool,
        records: Sequence[Accepted],
        publish: Publish | None,
    ) -> None:
        self.entries: asyncio.Future[Sequence[Entry]] = loop.create_future()
        self._shard = shard
        self._alike = alike
        self._places = places
        self._records = records
        self._publish = publish

    def settle(self, batch: Batch, error: Unavailable | None) -> None:
        """The flush is in the log, or nobody knows: then every entry is `unknown`."""
        entries: Sequence[Entry]
        if error is not None:
            entries = [Entry("unknown", record.message, (), record.message.revision, self._shard, 0, 0) for record in self._records]
        else:
            entries = batch.entries(self._places, self._alike, self._records, self._shard)
        try:
            if self._publish is not None:
                self._publish(entries)
        except Exception as failure:  # of one request: the others of the flush have their answer
            if not self.entries.done():
                self.entries.set_exception(failure)
        if not self.entries.done():
            self.entries.set_result(entries)


class LookUps:
    """Identities of one seen() that were asked for with one flush."""

    __slots__ = ("answered",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answered: asyncio.Future[None] = loop.create_future()

    def settle(self, batch: Batch, error: Unavailable | None) -> None:
        """The flush is answered, or nobody knows."""
        if self.answered.done():
            return
        if error is None:
            self.answered.set_result(None)
        else:
            self.answered.set_exception(Unavailable(error.detail, retry_after_ms=error.retry_after_ms))


def weight(records: Sequence[Accepted]) -> int:
    """About how many bytes the records take in the log."""
    if len(records) == 1:
        return OVERHEAD + len(records[0].message.body or b"")
    return OVERHEAD * len(records) + sum([len(record.message.body) for record in records if record.message.body is not None])


def size_of(record: Record) -> int:
    """About how many bytes a record without identity takes in the log."""
    return 200 + 90 * (len(record.ids) // 16) if isinstance(record, Deliveries) else 400
