"""The door's side of the log on Redis or Valkey: shards, each with its flusher; refusals beside them."""

import asyncio
from collections.abc import Sequence
from itertools import chain
from time import monotonic

from shared.adapters.redis.batch import MAX_BYTES, MAX_RECORDS, Batch, weight
from shared.adapters.redis.flusher import Flusher
from shared.adapters.redis.gates import OPEN
from shared.adapters.redis.keys import prefix, shard_of
from shared.adapters.redis.link import Link
from shared.adapters.redis.refusals import Refusals
from shared.domain.message import Message
from shared.domain.record import Accepted, Attempt, Deliveries, unpack_flush
from shared.ports import Entry

RELAYS_AFTER_S = 4.0  # the relay takes what is 5 s old: a door that was stopped for a while must not publish it too
FIRST_RETRY_MS = 100


class RedisLogQueue:
    """The LogQueue port on Redis. `url` must be a server with `appendfsync always` unless `durability` is `memory`.

    `limit_bytes` is a shard's; `replicas` must have fsynced besides the server itself; `wait_ms` bounds the wait for the disk.
    """

    def __init__(
        self, url: str, *, shards: int = 1, limit_bytes: int = 1 << 30, durability: str = "fsync", replicas: int = 0, wait_ms: int = 2000
    ) -> None:
        self._url = url
        self._flushers = [
            Flusher(url, shard, limit=limit_bytes, durability=durability, replicas=replicas, wait_ms=wait_ms) for shard in range(shards)
        ]
        self._refusals = Refusals(url, limit=limit_bytes)
        self._reader = Link(url)
        self._reading = asyncio.Lock()

    async def start(self) -> None:
        """Raises Misconfigured where the server would lose what it acknowledges."""
        for flusher in self._flushers:
            await flusher.start()
        await self._refusals.start()

    async def stop(self) -> None:
        """Write down what has collected, and end."""
        await self._refusals.stop()
        for flusher in self._flushers:
            await flusher.stop()
        await self._reader.close()

    def reachable(self) -> bool:
        """Whether every shard's Redis answered when it was last asked."""
        return all(flusher.reachable for flusher in self._flushers)

    async def append(self, records: Sequence[Accepted]) -> list[Entry]:
        """See LogQueue.append."""
        if len(self._flushers) > 1:
            return await self._append_by_shard(records)
        flusher, size = self._flushers[0], weight(records)
        if len(records) > MAX_RECORDS or size > MAX_BYTES:
            return await self._append(flusher, records)
        batch = flusher.collecting(len(records), size)  # as _append() does, without a call: this is each message's way
        places = batch.add(records)
        await batch.wait(flusher.loop)
        return batch.entries(places, records, 0)

    async def _append(self, flusher: Flusher, records: Sequence[Accepted]) -> list[Entry]:
        """Into one flush or, where they are too many or too long for one, into several, in order."""
        size = weight(records)
        if len(records) > MAX_RECORDS or (size > MAX_BYTES and len(records) > 1):
            half = len(records) // 2
            first = asyncio.ensure_future(self._append(flusher, records[:half]))
            return [*await first, *await self._append(flusher, records[half:])]
        batch = flusher.collecting(len(records), size)
        places = batch.add(records)
        await batch.wait(flusher.loop)
        return batch.entries(places, records, flusher.shard)

    async def _append_by_shard(self, records: Sequence[Accepted]) -> list[Entry]:
        shards: dict[int, list[int]] = {}
        for place, record in enumerate(records):
            shards.setdefault(shard_of(record.message.org, record.message.source, len(self._flushers)), []).append(place)
        appending = [self._append(self._flushers[shard], [records[place] for place in places]) for shard, places in shards.items()]
        found = dict(zip((place for places in shards.values() for place in places), chain(*await asyncio.gather(*appending)), strict=True))
        return [found[place] for place in range(len(records))]

    async def seen(self, messages: Sequence[Message]) -> list[Entry | None]:
        """See LogQueue.seen."""
        slots: list[tuple[Batch, int, Flusher]] = []
        for message in messages:
            flusher = self._flushers[shard_of(message.org, message.source, len(self._flushers))]
            batch = flusher.collecting(1, 0)
            slots.append((batch, batch.look_up(message), flusher))
        await asyncio.gather(*[batch.wait(flusher.loop) for batch, flusher in {batch: flusher for batch, _, flusher in slots}.items()])
        return [batch.found(place, message, flusher.shard) for (batch, place, flusher), message in zip(slots, messages, strict=True)]

    async def first(self, entry: Entry) -> Message | None:
        """See LogQueue.first."""
        async with self._reading:
            packed = await self._reader.one(b"GET", f"{prefix(entry.shard)}flush:{entry.flush}")
        if packed is None:
            return None
        record = unpack_flush(entry.flush, packed).records[entry.index]
        return record.message if isinstance(record, Accepted) else None

    def refuse(self, attempts: Sequence[Attempt]) -> list[bool]:
        """See LogQueue.refuse."""
        return self._refusals.add(attempts)

    def may_publish(self, entry: Entry, backbone: str) -> bool:
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
        flusher = self._flushers[entries[0].shard]
        flusher.told.delivered(entries, deliveries)
        flusher.carry_soon()

    def refused(self, entries: Sequence[Entry], deliveries: Deliveries) -> None:
        """See LogQueue.refused."""
        flusher = self._flushers[entries[0].shard]
        flusher.told.refused(entries, deliveries, FIRST_RETRY_MS)
        flusher.carry_soon()

    def hold(self, shard: int, backbone: str, reason: str) -> None:
        """See LogQueue.hold."""
        self._flushers[shard].hold(backbone, reason)
