"""An org's submitted messages in hand: one group at a time, in the stream's order, each acknowledged once its outcome is known.

What has no outcome yet (the log is away, its share is full, this process is overloaded) stays in hand and is tried again, before
anything that came after it; meanwhile nothing more is pulled. So an outage costs no delivery, and a message that is delivered again
and again is one that somebody died of.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from shared.edge.flight import Share
from shared.sources.backoff import Backoff
from shared.sources.outcomes import FAILED_HERE, MAX_DELIVERIES, MAX_FAILURES, Rejected, Retry, Settled

WINDOW = 1_024  # messages of an org in hand
MAX_GROUP = 512
MAX_GROUP_BYTES = 8 * 1024 * 1024
PULL = 256
SUSPECT = 3  # deliveries after which one is tried alone
WORKING_EVERY = 10.0  # seconds between two signs to the server that what is in hand is being worked on

log = logging.getLogger(__name__)


class InHand(Protocol):
    """A message as the stream delivered it."""

    @property
    def sequence(self) -> int: ...

    @property
    def payload(self) -> bytes: ...

    @property
    def headers(self) -> bytes | None: ...

    @property
    def deliveries(self) -> int: ...

    @property
    def subject(self) -> bytes: ...

    @property
    def stored(self) -> int: ...


Fate = tuple[Settled, str | None]  # what becomes of a message; and where its receipt may be sent, if anywhere


class Queue(Protocol):
    """The stream that the messages are of. Whatever can't be said, since the server is gone, is made good by another delivery."""

    def pull(self, count: int) -> None: ...

    def ack(self, some: Sequence[InHand]) -> None: ...

    def working(self, some: Sequence[InHand]) -> None: ...

    def give_back(self, some: Sequence[InHand]) -> None: ...

    def send(self, receipts: Sequence[tuple[str, bytes]]) -> None: ...

    async def reject(self, one: InHand, reason: str) -> bool: ...


Work = Callable[[Sequence[InHand]], Awaitable[list[Fate]]]


class Intake:
    """Takes what the stream delivers and works it off. `work` gives the fate of each message of a group; if it raises, it is a bug."""

    def __init__(self, name: str, queue: Queue, work: Work, share: Share) -> None:
        self.name = name
        self._queue, self._work, self._share = queue, work, share
        self._waiting: list[InHand] = []
        self._working: Sequence[InHand] = ()
        self._failures: dict[int, int] = {}
        self._pull = 1  # until it is known that nobody dies of what comes
        self._backoff = Backoff()
        self._paused = self._stopping = False
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._sign: asyncio.Task[None] | None = None

    @property
    def in_hand(self) -> int:
        """How many messages have been delivered and have no outcome yet."""
        return len(self._waiting) + len(self._working)

    def start(self) -> None:
        """Ask for the first messages."""
        self._sign = asyncio.create_task(self._signs(), name=f"working-{self.name}")
        self.more()

    def more(self) -> None:
        """Ask for more, where there is room."""
        if not self._paused and not self._stopping and self._share.fits() and self.in_hand + self._pull <= WINDOW:
            self._queue.pull(self._pull)

    def take(self, one: InHand) -> None:
        """One was delivered."""
        self._share.enter(1, _size(one))
        self._waiting.append(one)
        if self._task is None and not self._stopping:
            self._task = asyncio.create_task(self._run(), name=f"intake-{self.name}")

    async def stop(self) -> None:
        """Finish the group in hand, and give the rest back."""
        await self.finish()
        self.give_back()

    async def finish(self) -> None:
        """Returns once the group in hand has its outcome, or none now. Nothing more is begun: what still comes waits for give_back()."""
        self._stopping = True
        self._stop.set()
        if self._task is not None:
            await self._task
        if self._sign is not None:
            self._sign.cancel()
            await asyncio.wait([self._sign])

    def give_back(self) -> None:
        """Somebody else may have what waits, at once."""
        self._queue.give_back(self._waiting)
        self._drop(self._waiting)
        self._waiting = []

    async def _run(self) -> None:
        try:
            while self._waiting and not self._stopping:
                group = self._working = self._group()
                again = await self._settle(group, await self._fates(group))
                self._working = ()
                if again is not None:
                    await self._wait(again)
                else:
                    self._backoff = Backoff()
                self.more()
        finally:
            self._task = None

    def _group(self) -> list[InHand]:
        """The next messages; one that was delivered often comes alone, so that whoever dies of it takes no other with it."""
        count = size = 0
        for one in self._waiting:
            size += _size(one)
            if count and (size > MAX_GROUP_BYTES or count == MAX_GROUP or one.deliveries > SUSPECT or one.sequence in self._failures):
                break
            count += 1
            if one.deliveries > SUSPECT or one.sequence in self._failures:
                break
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        self._pull = 1 if any(one.deliveries > SUSPECT for one in group) else min(PULL, self._pull * 16)
        return group

    async def _fates(self, group: Sequence[InHand]) -> list[Fate]:
        if group[0].deliveries > MAX_DELIVERIES:
            return [(Rejected(f"it was delivered {group[0].deliveries} times, and never had an outcome"), None)]
        try:
            return await self._work(group)
        except Exception:
            log.exception("%s: %d submitted messages failed", self.name, len(group))
        for one in group:
            self._failures[one.sequence] = self._failures.get(one.sequence, 0) + 1
        if len(group) == 1 and self._failures[group[0].sequence] > MAX_FAILURES:
            return [(Rejected(FAILED_HERE), None)]
        return [(Retry(0), None)] * len(group)

    async def _settle(self, group: Sequence[InHand], fates: Sequence[Fate]) -> int | None:
        """Say what became of a group; the milliseconds to wait where some of it is to be tried again."""
        done: list[InHand] = []
        receipts: list[tuple[str, bytes]] = []
        again: list[InHand] = []
        pauses: list[int] = []
        for one, (settled, reply_to) in zip(group, fates, strict=True):
            if isinstance(settled, Retry):
                again.append(one)
                pauses.append(settled.after_ms)
            elif isinstance(settled, Rejected) and not await self._queue.reject(one, settled.reason):
                again.append(one)
                pauses.append(0)
            else:
                done.append(one)
                if reply_to is not None and (receipt := settled.receipt) is not None:
                    receipts.append((reply_to, receipt))
        if receipts:
            self._queue.send(receipts)
        if done:
            self._queue.ack(done)
            self._drop(done)
        self._waiting = again + self._waiting
        return max(pauses) if pauses else None

    async def _wait(self, milliseconds: int) -> None:
        """Pause: as long as was asked for at least, and longer each time. Nothing is pulled meanwhile."""
        self._paused = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._backoff.failed(milliseconds))
        self._paused = False

    def _drop(self, some: Sequence[InHand]) -> None:
        self._share.leave(len(some), sum(map(_size, some)))
        if self._failures:
            for one in some:
                self._failures.pop(one.sequence, None)

    async def _signs(self) -> None:
        while True:
            await asyncio.sleep(WORKING_EVERY)
            self._queue.working([*self._working, *self._waiting])


def _size(one: InHand) -> int:
    return len(one.payload) + len(one.headers or b"")
