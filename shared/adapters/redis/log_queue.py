"""The door's side of the log on Redis or Valkey: shards, each with its flusher; refusals beside them."""

import asyncio
from collections.abc import Sequence
from time import monotonic

from shared.adapters.redis.batch import MAX_BYTES, MAX_RECORDS, Batch, LookUps, Part, weight
from shared.adapters.redis.flusher import Flusher
from shared.adapters.redis.gates import OPEN
from shared.adapters.redis.keys import prefix, shard_of
from shared.adapters.redis.link import Link
from shared.adapters.redis.refusals import Refusals
from shared.domain.errors import Unavailable
from shared.domain.logged import Entry, Fresh, Run
from shared.domain.message import Message
from shared.domain.record import Accepted, Attempt, Deliveries, unpack_flush
from shared.ports import Publish

RELAYS_AFTER_S = 4.0  # the relay takes what is 5 s old: a door that was stopped for a while must not publish it too
UNKNOWN = "unknown"


class RedisLogQueue:
    """The LogQueue port on Redis. `url` must be a server with `appendfsync always` unless `durability` is `memory`.

    `limit_bytes` is a shard's; `replicas` must have fsynced besides the server itself; `wait_ms` bounds the wait for the disk.
    """

    def __init__(
        self, url: str, *, shards: int = 1, limit_bytes: int = 1 << 30, durability: str = "fsync", replicas: int = 0, wait_ms: int = 5000
    ) -> None:
        self._url = url
        self._flushers = [
            Flusher(url, shard, limit=limit_bytes, durability=durability, replicas=replicas, wait_ms=wait_ms, need=shards * limit_bytes)
            for shard in range(shards)
        ]
        self._refusals = Refusals(url, limit=limit_bytes, clock=self.now)
        self._reader = Link(url)
        self._reading = asyncio.Lock()

    async def start(self) -> None:
        """Raises Misconfigured where the server would lose what it acknowledges."""
        for flusher in self._flushers:
            await flusher.start()
        await self._refusals.start()

    async def stop(self) -> None:
        """Write down what has collected, and end."""
        try:
            await self._refusals.stop()
        finally:
            for flusher in self._flushers:
                await flusher.stop()
            await self._reader.close()

    def reachable(self) -> bool:
        """Whether every shard's Redis answered when it was last asked."""
        return all(flusher.reachable for flusher in self._flushers)

    async def append(self, records: Sequence[Accepted], publish: Publish | None = None) -> Sequence[Entry]:
        """See LogQueue.append."""
        flusher, size = self._flushers[0], weight(records)
        if len(self._flushers) > 1 or len(records) > MAX_RECORDS or size > MAX_BYTES:
            return await self._append_in_parts(records, publish)
        entries = await self._begin(flusher, records, size, publish)
        if not isinstance(entries, Fresh) and entries[0].outcome == UNKNOWN:
            raise _unknown()
        return entries

    def _begin(self, flusher: Flusher, records: Sequence[Accepted], size: int, publish: Publish | None) -> asyncio.Future[Sequence[Entry]]:
        """Put records into the next flush that has room for all of them."""
        batch = flusher.collecting(len(records), size)
        places, alike = batch.add(records)
        part = Part(flusher.loop, flusher.shard, places, alike, records, publish)
        batch.wait(part)
        return part.entries

    async def _append_in_parts(self, records: Sequence[Accepted], publish: Publish | None) -> list[Entry]:
        """Several shards, or more than a flush takes: every part is in its flush before any is waited for, so that order holds."""
        pieces: list[tuple[list[int], asyncio.Future[Sequence[Entry]]]] = []
        for shard, places in self._by_shard(records).items():
            for piece in _pieces(places, records):
                some = [records[place] for place in piece]
                pieces.append((piece, self._begin(self._flushers[shard], some, weight(some), publish)))
        found: dict[int, Entry] = {}
        for piece, entries in pieces:
            found.update(zip(piece, await entries, strict=True))
        if all(entry.outcome == UNKNOWN for entry in found.values()):
            raise _unknown()
        return [found[place] for place in range(len(records))]

    def _by_shard(self, records: Sequence[Accepted]) -> dict[int, list[int]]:
        shards: dict[int, list[int]] = {}
        for place, record in enumerate(records):
            shards.setdefault(shard_of(record.message.org, record.message.source, len(self._flushers)), []).append(place)
        return shards

    async def seen(self, messages: Sequence[Message]) -> list[Entry | None]:
        """See LogQueue.seen."""
        slots: list[tuple[Batch, int, Flusher]] = []
        asked: dict[Batch, asyncio.Future[None]] = {}
        for message in messages:
            flusher = self._flushers[shard_of(message.org, message.source, len(self._flushers))]
            batch = flusher.collecting(1, 0)
            slots.append((batch, batch.look_up(message), flusher))
            if batch not in asked:
                waiting = LookUps(flusher.loop)
                batch.wait(waiting)
                asked[batch] = waiting.answered
        await asyncio.gather(*asked.values())
        return [batch.found(place, message, flusher.shard) for (batch, place, flusher), message in zip(slots, messages, strict=True)]

    async def first(self, entry: Entry) -> Message | None:
        """See LogQueue.first."""
        async with self._reading:
            packed = await self._reader.one(b"GET", f"{prefix(entry.shard)}flush:{entry.flush}")
        if packed is None:
            return None
        records = unpack_flush(entry.flush, packed).records
        record = records[entry.index] if entry.index < len(records) else None  # another flush, where the log was lost since
        return record.message if isinstance(record, Accepted) and record.message.id == entry.message.id else None

    def refuse(self, attempts: Sequence[Attempt]) -> list[bool]:
        """See LogQueue.refuse."""
        return self._refusals.add(attempts)

    def may_publish(self, entry: Entry | Run, backbone: str) -> bool:
        """See LogQueue.may_publish."""
        if self._flushers[entry.shard].gates.state(backbone) != OPEN:
            return False
        if monotonic() - entry.logged <= RELAYS_AFTER_S:
            return True
        self.hold(entry.shard, backbone, f"flush {entry.flush} waited {RELAYS_AFTER_S:.0f} s to be published")
        return False

    async def opened(self, entry: Entry, backbone: str) -> bool:
        """See LogQueue.opened."""
        return await self._flushers[entry.shard].may_publish(backbone) and self.may_publish(entry, backbone)

    def delivered(self, entries: Sequence[Entry], deliveries: Deliveries) -> None:
        """See LogQueue.delivered."""
        flusher = self._flushers[entries.runs[0].shard if isinstance(entries, Fresh) else entries[0].shard]
        flusher.told.delivered(entries, deliveries)
        flusher.carry_soon()

    def refused(self, entries: Sequence[Entry], deliveries: Deliveries, retry_ms: int) -> None:
        """See LogQueue.refused."""
        flusher = self._flushers[entries[0].shard]
        flusher.told.refused(entries, deliveries, retry_ms)
        flusher.carry_soon()

    def now(self) -> int:
        """See LogQueue.now."""
        return self._flushers[0].now()

    def held(self) -> list[str]:
        """The backbones that are left to the relay now, on any shard."""
        return sorted({backbone for flusher in self._flushers for backbone in flusher.gates.held()})

    def hold(self, shard: int, backbone: str, reason: str) -> None:
        """See LogQueue.hold."""
        self._flushers[shard].hold(backbone, reason)


def _pieces(places: Sequence[int], records: Sequence[Accepted]) -> list[list[int]]:
    """The places cut where a flush would be full."""
    pieces: list[list[int]] = [[]]
    size = 0
    for place in places:
        one = weight([records[place]])
        if pieces[-1] and (len(pieces[-1]) == MAX_RECORDS or size + one > MAX_BYTES):
            pieces.append([])
            size = 0
        pieces[-1].append(place)
        size += one
    return pieces


def _unknown() -> Unavailable:
    return Unavailable("the log did not answer: the outcome is unknown, retry with the same id", retry_after_ms=1000)
