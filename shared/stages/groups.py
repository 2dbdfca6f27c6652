"""Group calls: a question goes at once while few calls are in flight; what comes meanwhile is one batch, as flushes of the log are.

Answers are released in the order of the questions, so that messages leave a stage as they came: order per source goes through it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from shared.domain.errors import Unavailable

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Groups(Generic[Item, Answer]):
    """Gathers items for `send`, which gives an answer for each in order, or raises Unavailable for all of them.

    At most `in_flight` calls at a time; a call has at most `items` items, of `size` bytes by `weigh`, and never a part of a question.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[Sequence[Answer]]],
        weigh: Callable[[Item], int],
        *,
        in_flight: int,
        items: int,
        size: int,
    ) -> None:
        self._send, self._weigh = send, weigh
        self._in_flight, self._items, self._size = in_flight, items, size
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[Sequence[Answer] | str]]] = []
        self._last: asyncio.Event | None = None
        self._flying: set[asyncio.Task[None]] = set()

    async def ask(self, items: Sequence[Item]) -> list[Answer]:
        """The answer to each item, in order. Raises Unavailable. Questions asked first are answered first."""
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[Sequence[Answer] | str]] = []
        for piece in self.pieces(items):
            answer: asyncio.Future[Sequence[Answer] | str] = loop.create_future()
            self._waiting.append((piece, answer))
            answers.append(answer)
        self._start()
        found: list[Answer] = []
        for answered in answers:
            told = await answered
            if isinstance(told, str):
                raise Unavailable(told, retry_after_ms=1000)
            found += told
        return found

    def pieces(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        """The items cut where a call would be too large."""
        weights = [self._weigh(item) for item in items]
        if len(items) <= self._items and sum(weights) <= self._size:  # nearly always
            return [items]
        cut: list[Sequence[Item]] = []
        start = size = 0
        for place, weight in enumerate(weights):
            if place > start and (place - start == self._items or size + weight > self._size):
                cut.append(items[start:place])
                start, size = place, 0
            size += weight
        return [*cut, items[start:]]

    def _start(self) -> None:
        while self._waiting and len(self._flying) < self._in_flight:
            group, before, after = self._next_group(), self._last, asyncio.Event()
            self._last = after
            task = asyncio.create_task(self._fly(group, before, after), name="group call")
            self._flying.add(task)
            task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        self._start()

    def _next_group(self) -> list[tuple[Sequence[Item], asyncio.Future[Sequence[Answer] | str]]]:
        """The questions at the front, as many as one call takes."""
        count = size = taken = 0
        for items, _ in self._waiting:
            count, size = count + len(items), size + sum(map(self._weigh, items))
            if taken and (count > self._items or size > self._size):
                break
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    async def _fly(
        self, group: list[tuple[Sequence[Item], asyncio.Future[Sequence[Answer] | str]]], before: asyncio.Event | None, after: asyncio.Event
    ) -> None:
        try:
            answers: Sequence[Answer] = ()
            failed = ""
            try:
                answers = await self._send([item for items, _ in group for item in items])
            except Unavailable as error:
                failed = error.detail
            except Exception:
                log.exception("a group call failed")
                failed = "a stage can't be called; retry with the same id"
            if before is not None:
                await before.wait()
            start = 0
            for items, answer in group:
                if not answer.done():
                    answer.set_result(failed or answers[start : start + len(items)])
                start += len(items)
        finally:
            after.set()
