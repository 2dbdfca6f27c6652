"""Work beside a look: one look begins it, and that or a later one takes what came of it. One at a time of what shares a turn, and so many
in all, of which an org has as many as it leaves free. A turn that takes long is over before its work is: who waits for it isn't to wait
for the slowest."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Generic, NamedTuple, TypeVar
from weakref import WeakValueDictionary

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")


class Piece(NamedTuple, Generic[Key]):
    """Of what the work is, of which state of it, of which org, and whose turn it has to wait for."""

    key: Key
    state: str
    org: str
    turn: Hashable


class Room:
    """So much that goes on at once. What has begun may last for minutes, and nothing ends it for another org's sake: so none has it all."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._held: Counter[str] = Counter()
        self._waiting: list[asyncio.Future[None]] = []

    async def enter(self, org: str) -> None:
        """Take a place, once there is one for that org: an org has as many as it leaves free."""
        while self._held[org] >= self._at_once - self._held.total():
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(told)
            try:
                await told
            finally:
                self._waiting.remove(told)
        self._held[org] += 1

    def leave(self, org: str) -> None:
        """Give it back."""
        self._held[org] -= 1
        self._held = +self._held  # who has none isn't kept
        for told in self._waiting:
            if not told.done():
                told.set_result(None)


class Beside(Generic[Key, Found]):
    """What is under way, by key: `at_once` at the same time, of one org as many as it leaves free; `most` with those that wait for their
    turn, or to be asked for. After `turn_s` seconds of work the next one has its turn, too."""

    def __init__(self, at_once: int, most: int, turn_s: float) -> None:
        self._room, self._most, self._turn_s = Room(at_once), most, turn_s
        self._tasks: dict[Key, tuple[str, asyncio.Task[Found]]] = {}
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    async def done(self, piece: Piece[Key], work: Callable[[], Awaitable[Found]], until: float) -> Found | None:
        """What came of it, where that is there by `until` (loop time); None where it isn't: then it goes on, or there are too many. Raises
        what the work raised. It is begun anew where it is of another state than before, or failed before it was asked for: what was in its
        way then need not be any more."""
        state, task = self._tasks.get(piece.key, ("", None))
        if task is not None and (state != piece.state or _failed(task)):
            await self.drop([piece.key])
            task = None
        if task is None:
            if len(self._tasks) >= self._most:
                return None
            turn = self._turns.setdefault(piece.turn, asyncio.Lock())
            task = asyncio.create_task(self._in_turn(turn, piece.org, work), name=f"beside {piece.key}")
            self._tasks[piece.key] = piece.state, task
        await asyncio.wait([task], timeout=max(0.0, until - asyncio.get_running_loop().time()))
        if not task.done() or task.cancelled():  # somebody broke it off
            return None
        self._tasks.pop(piece.key, None)
        return task.result()

    async def _in_turn(self, turn: asyncio.Lock, org: str, work: Callable[[], Awaitable[Found]]) -> Found:
        await turn.acquire()
        over = False

        def end() -> None:
            nonlocal over
            if not over:
                over = True
                turn.release()

        try:
            await self._room.enter(org)
            ending = asyncio.get_running_loop().call_later(self._turn_s, end)
            try:
                return await work()
            finally:
                ending.cancel()
                self._room.leave(org)
        finally:
            end()

    @property
    def keys(self) -> list[Key]:
        """What is under way, or was not asked for since it ended."""
        return list(self._tasks)

    async def drop(self, keys: Collection[Key]) -> None:
        """Break it off."""
        tasks = [self._tasks.pop(key)[1] for key in keys if key in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _failed(task: asyncio.Task[Found]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
