"""The logger's side of one shard on Redis or Valkey: a processing list a worker, and a heartbeat."""

import asyncio
import logging
import secrets
import struct
from collections.abc import Sequence
from typing import Any

from shared.adapters.redis.index import index_of
from shared.adapters.redis.keys import prefix
from shared.adapters.redis.link import Argument, Link
from shared.adapters.redis.scripts import script
from shared.domain.logged import Taken, Unreadable
from shared.domain.record import Flush, unpack_flush

GONE_AFTER_MS = 5_000  # without a heartbeat
MOST_FLUSHES = 1_000  # taken in one go
COMMITTED = 200  # flushes in one script: doors wait for each
WAIT_S = 1.0  # for the first flush
CHECK_OWN_S = 30.0  # how often a worker looks for flushes in its list that it doesn't have: those of a reply that came too late

log = logging.getLogger(__name__)


class RedisLogReader:
    """The LogReader port on Redis. Its worker id is new with each start: who was killed is taken over from, not imitated.

    `limit_bytes` is the shard's; over a quarter of it, flushes that only a backbone waits for shrink to their index.
    """

    def __init__(self, url: str, shard: int = 0, *, limit_bytes: int = 1 << 30, worker: str | None = None) -> None:
        self.worker = worker or secrets.token_hex(8)
        self.missing = 0  # flushes that were gone when they were taken
        self._prefix = prefix(shard)
        self._shrink_from = limit_bytes // 4  # an hour of indexes must fit beside the flushes that stay
        self._taking = Link(url)  # waits for flushes, so it is nobody else's
        self._telling = Link(url)
        self._one_teller = asyncio.Lock()
        self._in_hand: set[int] = set()
        self._check_own = 0.0  # the loop's clock

    async def take(self, limit_bytes: int, limit_records: int) -> list[Taken]:
        """See LogReader.take."""
        clock = asyncio.get_running_loop().time
        try:
            if clock() >= self._check_own:
                await self._taking.run(script("give_back"), self._prefix, self.worker, "stay", *self._in_hand)
                self._check_own = clock() + CHECK_OWN_S
            last, numbers = await self._move(limit_bytes, limit_records)
            if not numbers and await self._logged_after(last):
                _, numbers = await self._move(limit_bytes, limit_records)
            return await self._read(numbers)
        except BaseException:
            self._check_own = 0.0  # what was moved and not read is in the list, and not in hand
            raise

    async def commit(self, taken: Sequence[Taken]) -> None:
        """See LogReader.commit."""
        for start in range(0, len(taken), COMMITTED):
            await self._commit(taken[start : start + COMMITTED])

    async def _commit(self, taken: Sequence[Taken]) -> None:
        kept = await self._tell("commit", self.worker, self._shrink_from, *(flush.number for flush in taken))
        self._in_hand.difference_update(flush.number for flush in taken)
        numbers = {int(number) for number in kept}
        for flush in taken:
            if flush.number in numbers and isinstance(flush, Flush):
                await self._tell("shrink", flush.number, *index_of(flush))

    async def recover(self) -> int:
        """See LogReader.recover."""
        moved: int = await self._tell("recover", self.worker, GONE_AFTER_MS)
        if moved:
            log.warning("took over %d flushes of loggers that are gone", moved)
        return moved

    async def beat(self) -> None:
        """See LogReader.beat."""
        await self._tell("beat", self.worker)

    async def leave(self) -> None:
        """See LogReader.leave."""
        await self._tell("give_back", self.worker, "leave")
        self._in_hand.clear()

    async def close(self) -> None:
        """Let the connections go."""
        await self._taking.close()
        await self._telling.close()

    async def _move(self, limit_bytes: int, limit_records: int) -> tuple[int, list[int]]:
        """The number of the last flush logged, and those that are in this worker's list now."""
        (answer,) = await self._taking.run(script("take"), self._prefix, self.worker, limit_bytes, limit_records, MOST_FLUSHES)
        last, *numbers = (int(number) for number in answer)
        return last, numbers

    async def _logged_after(self, number: int) -> bool:
        """Wait for a flush behind that one, and leave it where it is: every flush is in the feed too.

        A worker that was stopped while it waits (SIGSTOP, a long pause) has nothing when it goes on: whoever took over from it would not
        look at its list again, so that only `take`, which is a heartbeat too, moves anything there. And reading works when Redis is full.
        """
        wait: tuple[Argument, ...] = ("XREAD", "COUNT", 1, "BLOCK", int(WAIT_S * 1000), "STREAMS", f"{self._prefix}feed", f"{number}-0")
        return await self._taking.one(*wait) is not None

    async def _read(self, numbers: Sequence[int]) -> list[Taken]:
        if not numbers:
            return []
        packed = await self._taking.one(b"MGET", *(f"{self._prefix}flush:{number}" for number in numbers))
        missing = [number for number, flush in zip(numbers, packed, strict=True) if flush is None]
        if missing:
            self.missing += len(missing)
            log.warning("%d flushes were gone before the store had them, the first is %d", len(missing), missing[0])
            await self._tell("commit", self.worker, self._shrink_from, *missing)
        taken = [unpacked(number, flush) for number, flush in zip(numbers, packed, strict=True) if flush is not None]
        self._in_hand.update(flush.number for flush in taken)
        return taken

    async def _tell(self, name: str, *arguments: Argument) -> Any:
        async with self._one_teller:
            (reply,) = await self._telling.run(script(name), self._prefix, *arguments)
        return reply


def unpacked(number: int, packed: bytes) -> Taken:
    """The flush, or what is wrong with its bytes."""
    try:
        return unpack_flush(number, packed)
    except (ValueError, struct.error) as error:
        return Unreadable(number, packed, f"{type(error).__name__}: {error}")
