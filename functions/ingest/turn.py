"""One turn of the loop: the single events that it read are submitted together, each principal's."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from functions.door import Each, Told
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.edge.whole import Client, Head


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request that came whole and has no answer yet. `started` is by perf_counter(), `size` the body's in bytes."""

    head: Head
    client: Client
    answer: Callable[[bytes], None]  # of the whole response; raises nothing
    started: float
    size: int


class Turn:
    """What came since the loop turned. `tell` is called with the requests of a principal, the places of some of them, and what became of
    those."""

    def __init__(self, each: Each, tell: Callable[[Sequence[Asked], Sequence[int], Told], None]) -> None:
        self._each = each
        self._tell = tell
        self._of: dict[int, tuple[Principal, list[Asked], list[Message]]] = {}  # by id(principal), which is here and lives

    def add(self, asked: Asked, message: Message, principal: Principal) -> None:
        """One more. It is submitted when all that can be read now has been."""
        together = self._of.get(id(principal))
        if together is None:
            if not self._of:
                asyncio.get_running_loop().call_soon(self._end)
            together = self._of[id(principal)] = (principal, [], [])
        together[1].append(asked)
        together[2].append(message)

    def _end(self) -> None:
        of, self._of = self._of, {}
        for principal, asked, messages in of.values():
            self._each(messages, principal, partial(self._tell, asked))
