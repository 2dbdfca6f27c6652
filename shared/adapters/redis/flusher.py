"""The flusher: group commit to one shard. While one flush is in flight the next collects; no timer, no fixed size."""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from shared.adapters.redis.batch import Batch
from shared.adapters.redis.gates import CLOSING, HELD, Gates
from shared.adapters.redis.keys import prefix
from shared.adapters.redis.link import Link
from shared.adapters.redis.resp import Refused
from shared.adapters.redis.scripts import script
from shared.adapters.redis.told import NOTHING, Carried, Seen, Told, packable
from shared.domain.errors import Misconfigured, Unavailable

log = logging.getLogger(__name__)

IDLE_S = 0.020  # completions go in a flush of their own when none starts in this time
SKEW_US = 300_000_000  # a door's clock that is further off is not believed
IDLE_PING_S = 2.0  # an idle door notices within this time that its server is gone, and that the relay has opened a backbone
PAUSE_S = 0.1  # after a failed flush, before carrying what it carried again


class Flusher:
    """One shard's group commit, on one dedicated connection. `replicas`: how many must have fsynced besides the server itself; `need`: the
    bytes that all shards together may take of the server."""

    def __init__(self, url: str, shard: int, *, limit: int, durability: str, replicas: int, wait_ms: int, need: int = 0) -> None:
        self.shard = shard
        self.gates = Gates()
        self.told = Told()
        self.loop: asyncio.AbstractEventLoop  # the one it was started in
        self._limit = limit
        self._fsync = durability == "fsync"
        self._replicas = replicas
        self._wait_ms = wait_ms
        self._link = Link(url, deadline=wait_ms / 1000 + 1, durability=durability, need=need)
        self._prefix = prefix(shard)
        self._batches: deque[Batch] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._closing = False
        self._failed = False
        self._seen: Seen = NOTHING  # the last flush that was answered
        self._seen_on: object = None  # the connection that it was answered on

    async def start(self) -> None:
        """Check the server and start. Raises Misconfigured; an unreachable server is not an error yet."""
        try:
            await self._link.connect()
        except Unavailable as error:
            self._failed = True
            log.warning("the log's Redis is not there yet: %s", error)
        self.loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name=f"flusher-{self.shard}")

    async def stop(self) -> None:
        """Flush what has collected, completions too, and end."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._idle is not None:
            self._idle.cancel()
        await self._link.close()

    @property
    def reachable(self) -> bool:
        """Whether the last flush, or the start before the first one, found the server."""
        return not self._failed

    def collecting(self, count: int, size: int) -> Batch:
        """The batch that so many records go into; it becomes a flush as soon as the one in flight is back.

        Raises Unavailable while shutting down.
        """
        if not self._batches or not self._batches[-1].has_room(count, size):
            if self._closing:
                raise Unavailable("shutting down")
            self._batches.append(Batch())
            self._wake.set()
        return self._batches[-1]

    def now(self) -> int:
        """Microseconds since 1970 by Redis TIME, as of the last answer."""
        return time.time_ns() // 1000 - self._link.skew

    def hold(self, backbone: str, reason: str) -> None:
        """The backbone is the relay's from now on; every door learns it with its next flush."""
        if self.gates.hold(backbone):
            log.warning("holding backbone %s of shard %d: %s", backbone, self.shard, reason)
            self.told.hand_over(backbone)
            self._wake.set()

    def carry_soon(self) -> None:
        """There is something to tell the log: with the next flush, or alone when none starts in 20 ms."""
        if self._idle is None:
            self._idle = self.loop.call_later(IDLE_S, self._carry)

    def _carry(self) -> None:
        self._idle = None
        self._wake.set()

    async def _run(self) -> None:
        while True:
            asks = False
            if not self._batches:
                if self._closing and (self._failed or not (self.told.anything or self.gates.anything_asked)):
                    return
                if not self._closing:
                    asks = await self._sleep()
            self._wake.clear()
            batch = self._batches.popleft() if self._batches else Batch()
            carried = self.told.take(self.gates.asked())
            if not (batch.waiters or carried.anything or self.gates.anyone_waits or asks):
                continue
            try:
                await self._flush(batch, carried)
                self._failed = False
                batch.settle()
            except Exception as error:
                await self._give_back(batch, carried, error)

    async def _sleep(self) -> bool:
        """Until there is work; while somebody waits for a gate, only 20 ms: an empty flush asks, which writes nothing. An idle server is
        pinged, or asked so where a backbone is held: without traffic it would be called lost for good. Whether that is to be done now."""
        if self.gates.anyone_waits:
            self.carry_soon()
        try:
            async with asyncio.timeout(IDLE_PING_S):
                await self._wake.wait()
        except TimeoutError:
            if self.gates.held():
                return True
            await self._ping()
        return False

    async def _ping(self) -> None:
        try:
            await self._link.one(b"PING")
            self._failed = False
        except Exception as error:
            if not self._failed:
                log.warning("shard %d: %s", self.shard, error)
            self._failed = True

    async def _give_back(self, batch: Batch, carried: Carried, error: Exception) -> None:
        if not isinstance(error, Unavailable | Misconfigured):
            log.exception("a flush failed")
            carried = packable(carried)
        self.told.give_back(carried)
        self.gates.unsent(carried.hold)
        self._failed = True
        unknown = error if isinstance(error, Unavailable) else Unavailable("the log can't be written")
        unknown.retry_after_ms = unknown.retry_after_ms or 1000
        batch.settle(unknown)
        while self._batches:  # each would wait as long as this one did
            self._batches.popleft().settle(unknown)
        if not self._closing:
            await asyncio.sleep(PAUSE_S)
            self.carry_soon()

    async def _flush(self, batch: Batch, carried: Carried) -> None:
        """One script, one WAITAOF, on one connection and never in MULTI. Raises Unavailable when the outcome is unknown."""
        connection = await self._link.connect()  # which also asks for the time
        if abs(self._link.skew) > SKEW_US:
            batch.shift_clock(self.now())
        seen = NOTHING if connection is self._seen_on else self._seen  # a new connection may be to an older copy of the log
        arguments = batch.arguments(carried.records, self._limit, carried.packed(seen), secrets.token_hex(8))
        durable = bool(batch.waiters) and self._fsync
        then: Sequence[Any] = (b"WAITAOF", 1, self._replicas, self._wait_ms) if durable else ()
        replies = await self._link.run(script("flush"), self._prefix, *arguments, then=then)
        if durable:
            check_fsynced(replies[1], self._replicas)
        number, seconds, microseconds, mask, hits, gates, epoch = replies[0]
        batch.answered(number, epoch, time.monotonic(), mask, hits)
        self.told.of_epoch(epoch)
        if number:
            self._seen = number, seconds, microseconds
        self._seen_on = connection
        for backbone in self.gates.told({gates[at].decode(): gates[at + 1].decode() for at in range(0, len(gates), 2)}):
            self.told.hand_over(backbone)  # another process held it
        if batch.records:
            self.told.expect(number, self._ours(batch))
        self._link.skew = time.time_ns() // 1000 - (seconds * 1_000_000 + microseconds)

    def _ours(self, batch: Batch) -> list[tuple[str, int]]:
        """The backbones this process publishes the flush to itself: those that aren't held."""
        return [(backbone, count) for backbone, count in batch.new_by_backbone().items() if self.gates.state(backbone) != HELD]

    async def may_publish(self, backbone: str) -> bool:
        """Whether the gate is open, waiting out `closing` for a second at most."""
        if self.gates.state(backbone) != CLOSING:
            return self.gates.state(backbone) != HELD
        self.carry_soon()
        state = await self.gates.settled(backbone, 1.0)
        if state == CLOSING:
            self.hold(backbone, "the relay did not finish in a second")
        return self.gates.state(backbone) not in (HELD, CLOSING)


def check_fsynced(reply: Any, replicas: int) -> None:
    if isinstance(reply, Refused):
        raise Unavailable(f"the log's Redis can't say what is on disk: {reply}")
    if reply[0] < 1 or reply[1] < replicas:
        raise Unavailable("the log's Redis did not get the messages to disk in time")
