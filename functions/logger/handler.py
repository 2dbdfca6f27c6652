"""The logger: log queue -> one batch in memory -> log_batch.

It takes no more than it can hand on, so its memory is flat while the store is down.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from functions.logger.batches import Most, batches
from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.logged import Taken
from shared.domain.record import Flush
from shared.pause import set_within
from shared.ports import LogReader

BATCH_BYTES, BATCH_RECORDS = 16 * 1024 * 1024, 5_000
GATHER_S = 0.2  # between two takes that bring less than half a batch: a transaction for each flush costs a core, and nobody waits for it
BEAT_S = 1.0
RECOVER_EVERY = 5  # beats
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0

Write = Callable[[int, Sequence[Taken]], Awaitable[None]]  # log_batch's handler, inline or remote

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class Logger:
    """One worker on one shard. While one batch is written the next is taken; nothing beyond that.

    `most` says how many messages of a topic one batch may have; without it nothing is bounded.
    """

    def __init__(self, shard: int, reader: LogReader, write: Write, most: Callable[[], Most | None] = lambda: None) -> None:
        self.written = 0  # flushes
        self.failures = 0  # attempts that did not work, of whatever kind
        self.behind = False  # the store or the log can't be reached now
        self._shard = shard
        self._reader = reader
        self._write = write
        self._most = most

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set: then the batch in flight is finished, and what was taken besides is given back.

        While the store can't be reached it retries the same batch for ever; when it is to stop then, it gives that back too.
        """
        ended = asyncio.Event()  # later than `stop`: the last batch may take longer than a heartbeat lasts
        beating = asyncio.create_task(self._beat(ended), name=f"logger-beat-{self._shard}")
        try:
            await self._retried(self._reader.recover, stop)
            batch: list[Taken] = []
            while not stop.is_set():
                gathered = asyncio.get_running_loop().time() + GATHER_S
                taking = asyncio.create_task(self._take(stop), name=f"logger-take-{self._shard}")
                if batch:
                    await self._store(batch, stop)
                batch = await taking
                if 2 * _records(batch) < BATCH_RECORDS:
                    await set_within(stop, gathered - asyncio.get_running_loop().time())
        finally:
            ended.set()
            await beating
            await self._leave()

    async def _take(self, stop: asyncio.Event) -> list[Taken]:
        return await self._retried(lambda: self._reader.take(BATCH_BYTES, BATCH_RECORDS), stop) or []

    async def _store(self, batch: list[Taken], stop: asyncio.Event) -> None:
        """Write one batch, then take it out of the log: in this order, so that a crash between costs a second write and no row."""
        if await self._retried(lambda: self._written(batch), stop):
            await self._retried(lambda: self._reader.commit(batch), stop)
            self.written += len(batch)

    async def _written(self, batch: list[Taken]) -> bool:
        """All of it, in the store. What was written before another part failed is written again with it, which the store skips."""
        most = self._most()
        for part in (batch,) if most is None else batches(batch, most):
            await self._write(self._shard, part)
        return True

    async def _retried(self, attempt: Callable[[], Awaitable[Answer]], stop: asyncio.Event) -> Answer | None:
        """The first answer that isn't a failure, tried at least once; None when `stop` was set before."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                answer = await attempt()
                self.behind = False
                return answer
            except Exception as error:
                self._note(error)
            if await set_within(stop, pause):
                return None
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _note(self, error: Exception) -> None:
        self.failures += 1
        if not isinstance(error, SwitchboardError):
            log.exception("the logger of shard %d failed, and tries again", self._shard)
        elif not self.behind:
            log.warning("the logger of shard %d waits: %s", self._shard, error.detail)
        self.behind = True

    async def _beat(self, ended: asyncio.Event) -> None:
        """Say that this worker lives, whatever the store does; now and then look for others that don't."""
        beats = 0
        while not await set_within(ended, BEAT_S):
            beats += 1
            try:
                await (self._reader.beat() if beats % RECOVER_EVERY else self._reader.recover())
            except Exception as error:
                self._note(error)

    async def _leave(self) -> None:
        try:
            await self._reader.leave()
        except Unavailable as error:
            log.warning("the logger of shard %d could not give back what it took; another takes over in 5 s: %s", self._shard, error.detail)


def _records(batch: Sequence[Taken]) -> int:
    return sum(len(taken.records) for taken in batch if isinstance(taken, Flush))
