"""Work beside a look: one look begins it, and that or a later one takes what came of it. One at a time of what shares a turn."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Generic, NamedTuple, TypeVar
from weakref import WeakValueDictionary

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")


class Piece(NamedTuple, Generic[Key]):
    """Of what the work is, of which state of it, and whose turn it has to wait for."""

    key: Key
    state: str
    turn: Hashable


class Beside(Generic[Key, Found]):
    """What is under way, by key."""

    def __init__(self) -> None:
        self._tasks: dict[Key, tuple[str, asyncio.Task[Found]]] = {}
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    async def done(self, piece: Piece[Key], work: Callable[[], Awaitable[Found]], until: float) -> Found | None:
        """What came of it, where that is there by `until` (loop time); None where it isn't: then it goes on, unless it had not begun by
        then. Raises what the work raised. Of another state than before it is begun anew."""
        state, task = self._tasks.get(piece.key, ("", None))
        if task is not None and state != piece.state:
            await self.drop([piece.key])
            task = None
        now = asyncio.get_running_loop().time()
        if task is None:
            if now >= until:
                return None
            turn = self._turns.setdefault(piece.turn, asyncio.Lock())
            task = asyncio.create_task(_in_turn(turn, work), name=f"beside {piece.key}")
            self._tasks[piece.key] = piece.state, task
        await asyncio.wait([task], timeout=max(0.0, until - now))
        if not task.done() or task.cancelled():  # somebody broke it off
            return None
        self._tasks.pop(piece.key, None)
        return task.result()

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


async def _in_turn(turn: asyncio.Lock, work: Callable[[], Awaitable[Found]]) -> Found:
    async with turn:
        return await work()
