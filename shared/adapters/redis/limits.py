"""Rate limits shared between processes: every 50 ms the log's Redis hears what this one took, and answers what is left for all.

What it has is an aid, never a promise: while it is away every process goes on with its own buckets, and after a restart all are full.
"""

import asyncio
import logging
import struct
from collections.abc import Callable, Sequence
from time import monotonic

import msgspec

from shared.adapters.redis.keys import LIMITS
from shared.adapters.redis.link import Link, is_no_script
from shared.adapters.redis.resp import Refused
from shared.adapters.redis.scripts import script
from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.rules.limits import Limits, Report

log = logging.getLogger(__name__)

INTERVAL = 0.05  # seconds between two reports
SLOWEST = 0.25  # seconds between two that the shared buckets make up for
AWAY = 0.5  # seconds between two tries while the Redis doesn't answer
DEADLINE = 1.0  # seconds it has to answer
SWEEP = 1.0  # seconds between two looks for buckets that say nothing any more
AT_ONCE = 200  # buckets a call: the server runs it in about a millisecond, and the log's flushes wait meanwhile
MAX_BUCKETS = 100_000  # in the Redis, for all processes; what comes beyond is limited by each process on its own


class SharedLimits:
    """The buckets of this process, `limits`, and the task that keeps them together with those of the others.

    `clock` is the one that `limits` is asked by, in seconds.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = monotonic, max_buckets: int = MAX_BUCKETS) -> None:
        self.limits = Limits(shared=True)
        self._link = Link(url, deadline=DEADLINE)
        self._clock = clock
        self._max_buckets = max_buckets
        self._reported = clock()
        self._answering = True
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to share. Waits for no server."""
        self._task = asyncio.create_task(self.run(), name="limits")

    async def stop(self) -> None:
        """Tell the others what they don't know yet, and end; not longer than the Redis answers each call within DEADLINE."""
        self._closing.set()
        if self._task is not None:
            await self._task
        await self._link.close()

    async def run(self) -> None:
        """Report until stop(), once more then where the Redis answers. Raises nothing."""
        swept = self._clock()
        while not self._closing.is_set():
            await self._pause(INTERVAL if self._answering else AWAY)
            if self._answering or not self._closing.is_set():
                await self._report()
            if self._clock() - swept >= SWEEP:
                swept = self._clock()
                self.limits.sweep(swept)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    async def _report(self) -> None:
        """Say what was taken and settle on the answers: one call after the other, so that others' commands get between them."""
        now = self._clock()
        between, self._reported = min(max(INTERVAL, now - self._reported), SLOWEST), now
        reports = self.limits.report()
        if not self._answering:
            reports = list(map(_at_most_full, reports))
        for start in range(0, len(reports), AT_ONCE):
            some = reports[start : start + AT_ONCE]
            try:
                asked = self._clock()  # not when the answer is there: what came meanwhile was taken meanwhile
                self.limits.settle(some, await levels(self._link, some, between, self._max_buckets), asked)
            except Exception as error:
                self.limits.put_back(reports[start:])
                self._lost(error)
                return
            if not self._answering:
                self._answering = True
                log.info("rate limits are shared again")

    def _lost(self, error: Exception) -> None:
        """Said once, until it answers again."""
        if self._answering:
            known = isinstance(error, SwitchboardError)
            log.warning("rate limits are each process's own for now: %s", error, exc_info=None if known else error)
        self._answering = False


async def levels(link: Link, reports: Sequence[Report], between: float, max_buckets: int = MAX_BUCKETS) -> list[float]:
    """Take what the reports say off the shared buckets: the level of each, NaN where there is no room for it. At most AT_ONCE reports;
    `between` are the seconds that they are about.

    A shared bucket holds a burst and what comes in that time: a process takes while the bucket refills, not before. Without, what came
    meanwhile would not fit in and be lost: 1,000 a second with a burst of 10 let 560 through. No process has more than a burst at once
    in any case (`Limits.settle`).

    Raises Unavailable when nobody knows whether it was done.
    """
    packed: list[str | float] = []
    for key, rate, burst, taken in reports:
        packed += (key.encode("utf-8", "backslashreplace").decode(), rate, burst + rate * between, taken)
    lua, arguments = script("limits"), (1, LIMITS, max_buckets, msgspec.msgpack.encode(packed))
    (answer,) = await link.call((b"EVALSHA", lua.sha, *arguments))
    if is_no_script(answer):
        (answer,) = await link.call((b"EVAL", lua.text, *arguments))
    if isinstance(answer, Refused):  # Link.run would log each, and this is tried twice a second
        await link.close()
        raise Unavailable(f"the log's Redis refused the reports: {answer}")
    return list(struct.unpack(f">{len(reports)}d", answer))


def _at_most_full(report: Report) -> Report:
    """What to say of the time in which nobody was told: a bucket's worth. All of it would be owed, though the time to refill is over."""
    return report._replace(taken=min(report.taken, report.burst))
