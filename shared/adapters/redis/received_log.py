"""Messages that wait for their verdict, on Redis or Valkey: beside the log of the same shard, in the same slot."""

import struct
from collections.abc import Iterator, Sequence
from functools import partial
from time import monotonic, time_ns
from typing import Any

import msgspec

from shared.adapters.redis.batch import OVERHEAD
from shared.adapters.redis.flusher import SKEW_US, check_fsynced
from shared.adapters.redis.keys import prefix, shard_of
from shared.adapters.redis.link import Argument, Link
from shared.adapters.redis.refusals import cut
from shared.adapters.redis.scripts import script
from shared.domain.feed import cut_for_feed
from shared.domain.logged import Entry
from shared.domain.message import Message
from shared.domain.received import Entered, Kept, Received, Ruling, Settled
from shared.domain.record import Accepted, Attempt, pack_records, unpack_flush
from shared.domain.uuid7 import uuid7
from shared.stages.groups import Groups

KEPT_S = 300  # a verdict: longer than a broker tries again, and than identities are known
MOST = 500  # in one script: doors wait for each
MOST_BYTES = 8_388_608

_received = struct.Struct(">16s16s32sHI?").pack
_ruling = struct.Struct(">16s16s32scHHII").pack
_share = struct.Struct(">IH").unpack_from  # before a received record: bytes counted for it, length of the org's name that follows
_hit = struct.Struct(">IIQH").unpack_from  # a value in `ids`, behind the digest: revision, second, flush, index
_pack = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(Received).decode
_verdict = msgspec.msgpack.Decoder(Kept).decode


class RedisReceivedLog:
    """The ReceivedLog port on Redis. The arguments are RedisLogQueue's."""

    def __init__(self, url: str, *, shards: int = 1, limit_bytes: int = 1 << 30, durability: str = "fsync", wait_ms: int = 5000) -> None:
        self._limit = limit_bytes
        self._shards = [
            _Shard(url, number, limit=limit_bytes, durability=durability, wait_ms=wait_ms, need=shards * limit_bytes)
            for number in range(shards)
        ]

    async def start(self) -> None:
        """Nothing: connections are made when they are needed, and the log's own start says what is wrong with the server."""

    async def stop(self) -> None:
        """Let go of the connections."""
        for shard in self._shards:
            await shard.close()

    async def receive(self, records: Sequence[Received]) -> list[Entered]:
        """See ReceivedLog.receive."""
        places: dict[int, list[int]] = {}
        for place, record in enumerate(records):
            places.setdefault(self._shard(record.message), []).append(place)
        found: dict[int, Entered] = {}
        for number, some in places.items():
            found.update(zip(some, await self._shards[number].entering.ask([records[place] for place in some]), strict=True))
        return [found[place] for place in range(len(records))]

    async def settle(self, ruling: Ruling) -> Settled:
        """See ReceivedLog.settle."""
        (settled,) = await self._shards[self._shard(ruling.message)].ruling.ask([ruling])
        return settled

    async def overdue(self, older_than_s: float, limit: int, skip: int = 0) -> list[Received]:
        """See ReceivedLog.overdue."""
        return [received for shard in self._shards for received in await shard.overdue(older_than_s, limit, skip)]

    async def first(self, entry: Entry) -> Message | None:
        """See ReceivedLog.first."""
        return await self._shards[entry.shard].first(entry)

    def _shard(self, message: Message) -> int:
        return shard_of(message.org, message.source, len(self._shards))


class _Shard:
    """One shard: what comes while a script is in flight goes with the next, on a connection for each side."""

    def __init__(self, url: str, number: int, *, limit: int, durability: str, wait_ms: int, need: int) -> None:
        self._number, self._limit, self._prefix = number, limit, prefix(number)
        self._then: tuple[Argument, ...] = (b"WAITAOF", 1, 0, wait_ms) if durability == "fsync" else ()
        connect = partial(Link, url, deadline=wait_ms / 1000 + 1, durability=durability, need=need)
        self._in, self._out, self._reader = connect(), connect(), Link(url)
        bounds: dict[str, int] = {"in_flight": 1, "items": MOST, "size": MOST_BYTES}
        self.entering: Groups[Received, Entered] = Groups(self._enter, _weight_of, **bounds)
        self.ruling: Groups[Ruling, Settled] = Groups(self._rule, _weight_of, **bounds)
        self._reading: Groups[tuple[Argument, ...], Any] = Groups(self._look, len, in_flight=1, items=1, size=1)

    async def close(self) -> None:
        for link in (self._in, self._out, self._reader):
            await link.close()

    async def overdue(self, older_than_s: float, limit: int, skip: int = 0) -> list[Received]:
        """See ReceivedLog.overdue."""
        (packed,) = await self._reading.ask([("overdue", int(older_than_s * 1e6), limit, MOST_BYTES, skip)])
        return [_read(each) for each in packed]

    async def first(self, entry: Entry) -> Message | None:
        """See ReceivedLog.first."""
        (packed,) = await self._reading.ask([("", f"{self._prefix}flush:{entry.flush}")])
        if packed is None:
            return None
        records = unpack_flush(entry.flush, packed).records
        record = records[entry.index] if entry.index < len(records) else None
        return record.message if isinstance(record, Accepted) and record.message.id == entry.message.id else None

    async def _look(self, asked: list[tuple[Argument, ...]]) -> list[Any]:
        """One read at a time: a connection is for one caller."""
        ((name, *arguments),) = asked
        return await self._reader.run(script(str(name)), self._prefix, *arguments) if name else [await self._reader.one(b"GET", *arguments)]

    async def _enter(self, records: list[Received]) -> list[Entered]:
        await self._in.connect()  # which asks for the time
        if abs(self._in.skew) > SKEW_US:
            records = [msgspec.structs.replace(each, message=_at(each.message, _now(self._in))) for each in records]
        orgs: dict[str, int] = {}
        meta = b"".join(
            _received(
                each.record_id,
                each.message.id,
                each.message.digest,
                orgs.setdefault(each.message.org, len(orgs)),
                _weight_of(each),
                each.wants_receipt,
            )
            for each in records
        )
        packed = [_pack(each) for each in records]
        _, _, mask, first = await self._run(self._in, "receive", meta, _lines(orgs), self._limit, *packed)
        firsts = iter(first)
        return [_entered(chr(said), each, firsts) for said, each in zip(mask, records, strict=True)]

    async def _rule(self, rulings: list[Ruling]) -> list[Settled]:
        await self._out.connect()
        orgs: dict[str, int] = {}
        targets: dict[str, int] = {}
        meta: list[bytes] = []
        packed: list[bytes] = []
        for each in rulings:
            message, record, kept = each.message, each.record, each.kept
            org, names = orgs.setdefault(message.org, len(orgs)), targets.setdefault(",".join(kept.targets), len(targets))
            kind = b"m" if isinstance(record, Accepted) else b"s" if record is None else b"a"
            whole = cut(record, _now(self._out)) if isinstance(record, Attempt) else record
            size = OVERHEAD + len((message if whole is None else whole.message).body or b"")
            meta.append(_ruling(each.record_id, message.id, message.digest, kind, org, names, size, message.revision))
            identity = kept.refusal is not None and kept.refusal.rule == "identity"
            packed += (*_records(whole), (b"i" if identity else b"v") + _pack(kept))
        told = await self._run(
            self._out, "settle", b"".join(meta), _lines(orgs), _lines(targets), KEPT_S, self._limit, uuid7().hex(), *packed
        )
        epoch, answers = told[2], told[3:]
        return [self._settled(each, epoch, *answer) for each, answer in zip(rulings, answers, strict=True)]

    def _settled(self, ruling: Ruling, epoch: bytes, said: bytes, value: bytes, number: int) -> Settled:
        message = ruling.message
        if said == b"k":
            return Settled("kept", _verdict(value[1:])) if value[:1] == b"v" else Settled("duplicate", _kept_of(value[1:]))
        if said == b"g":
            return Settled("gone")
        if said == b"n":
            kept = ruling.kept
            entry = Entry(
                "duplicate", message, kept.targets, kept.revision, self._number, number, 0, kept.undeliverable, monotonic(), epoch
            )
            return Settled("new", kept, entry if kept.refusal is None and ruling.record is not None else None)
        kept = _kept_of(value)
        _, _, flush, index = _hit(value, 32)
        outcome = "duplicate" if said == b"d" else "conflict"
        entry = Entry(outcome, message, kept.targets, kept.revision, self._number, flush, index, kept.undeliverable, monotonic(), epoch)
        return Settled("duplicate", kept, entry) if said == b"d" else Settled("conflict", kept, entry)

    async def _run(self, link: Link, name: str, *arguments: Argument) -> Any:
        replies = await link.run(script(name), self._prefix, *arguments, then=self._then)
        if self._then:
            check_fsynced(replies[1], 0)
        return replies[0]


def _entered(said: str, received: Received, firsts: Iterator[bytes]) -> Entered:
    match said:
        case "n":
            return Entered("new", received.message.revision)
        case "w":
            value = next(firsts)
            return Entered("waiting", _read(value[6 + _share(value)[1] :]).message.revision if value else received.message.revision)
        case "d":
            return Entered("duplicate", _hit(next(firsts), 32)[0])
    return Entered("full")


def _kept_of(value: bytes) -> Kept:
    """The verdict of an accepted message, by its value in `ids`."""
    targets = tuple(value[50:].decode().split(",")) if len(value) > 50 else ()
    return Kept(_hit(value, 32)[0], targets, None if targets else "no-route")


def _records(record: Accepted | Attempt | None) -> tuple[bytes, bytes]:
    """The packed log record, and the same cut for the feed or nothing."""
    if record is None:
        return b"", b""
    fed = cut_for_feed(record)
    return pack_records([record]), b"" if fed is record else pack_records([fed])


def _weight_of(one: Received | Ruling) -> int:
    """About how many bytes it takes in the log."""
    return OVERHEAD + len(one.message.body or b"")


def _lines(names: dict[str, int]) -> str:
    return "".join(f"{name}\n" for name in names)


def _at(message: Message, now: int) -> Message:
    return msgspec.structs.replace(message, received_at=now)


def _now(link: Link) -> int:
    """Microseconds by Redis TIME."""
    return time_ns() // 1000 - link.skew
