"""Refusals, bounded: the first ten a second of each (org, principal, rule) are recorded, the rest are one counter record a second."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence

import msgspec

from shared.adapters.redis.keys import prefix
from shared.adapters.redis.link import Link
from shared.adapters.redis.scripts import script
from shared.domain.errors import SwitchboardError
from shared.domain.record import Attempt, Record, RefusalCount, pack_records
from shared.domain.uuid7 import uuid7

log = logging.getLogger(__name__)

A_SECOND = 10
BODY = 4_096  # bytes of a refused body that are kept
SKEW_US = 300_000_000  # as far as a door's clock may be off
WAITING = 5_000  # records waiting for the Redis: more are counted, not kept


class Refusals:
    """Records refusals of every shard's doors on shard 0's own list and connection, without waiting for the disk."""

    def __init__(self, url: str, *, limit: int, clock: Callable[[], int]) -> None:
        self._link = Link(url, deadline=2.0)
        self._limit = limit
        self._clock = clock  # microseconds, the log's
        self._second = 0
        self._seen: dict[tuple[str, str, str], int] = {}
        self._waiting: list[Record] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="refusals")

    async def stop(self) -> None:
        """Write what waits, and end."""
        self._closing = True
        self._count(self._second + 1)
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._link.close()

    def add(self, attempts: Sequence[Attempt]) -> list[bool]:
        """Whether each will be recorded (False: only counted)."""
        second = self._clock() // 1_000_000
        if second != self._second:
            self._count(second)
        recorded = [self._add(attempt) for attempt in attempts]
        self._wake.set()
        return recorded

    def _add(self, attempt: Attempt) -> bool:
        key = (attempt.message.org, attempt.message.principal, attempt.rule)
        self._seen[key] = seen = self._seen.get(key, 0) + 1
        if seen > A_SECOND or len(self._waiting) >= WAITING:
            return False
        self._waiting.append(cut(attempt, self._clock()))
        return True

    def _count(self, second: int) -> None:
        """A second is over: what was seen and not recorded becomes one record each."""
        over = [(key, seen - A_SECOND) for key, seen in self._seen.items() if seen > A_SECOND]
        self._waiting += [RefusalCount(uuid7(), *key, self._second, count) for key, count in over]
        self._seen.clear()
        self._second = second

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                if self._closing:
                    return
                await self._next()
            self._wake.clear()
            records, self._waiting = self._waiting[:500], self._waiting[500:]
            if records:
                await self._write(records)

    async def _next(self) -> None:
        """Until there is something, or a second with counts is over."""
        try:
            async with asyncio.timeout(1.0 if self._seen else None):
                await self._wake.wait()
        except TimeoutError:
            self._count(self._clock() // 1_000_000)

    async def _write(self, records: list[Record]) -> None:
        room = min(67_108_864, self._limit // 16)
        try:
            (number,) = await self._link.run(script("refuse"), prefix(0), pack_records(records), room, self._limit, secrets.token_hex(8))
            if number == 0:
                log.warning("no room for %d refusals", len(records))
        except SwitchboardError as error:
            log.warning("%d refusals were not recorded: %s", len(records), error)
        except Exception:  # a record that can't be packed: the next ones can
            log.exception("%d refusals were not recorded", len(records))


def cut(attempt: Attempt, now: int) -> Attempt:
    """The attempt with its body cut at 4 KiB, and with the log's time where the door's clock is more than 5 minutes off."""
    message = attempt.message
    if abs(message.received_at - now) > SKEW_US:
        message = msgspec.structs.replace(message, received_at=now)
    if message.body is not None and len(message.body) > BODY:
        return msgspec.structs.replace(attempt, message=msgspec.structs.replace(message, body=message.body[:BODY]), cut=True)
    return attempt if message is attempt.message else msgspec.structs.replace(attempt, message=message)
