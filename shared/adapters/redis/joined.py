"""One connection for many callers: what is asked while a round trip is under way goes along with the next, as records do in a flush."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from shared.adapters.redis.link import Argument, Link, is_no_script
from shared.adapters.redis.resp import Refused
from shared.adapters.redis.scripts import Script
from shared.domain.errors import Unavailable

log = logging.getLogger(__name__)

Command = Sequence[Argument]
AT_ONCE = 2_000  # commands a round trip
# Replies of a server that takes no writes now, whatever is written: a replica, or one that lacks replicas, a disk or memory.
UNWRITABLE = frozenset(("READONLY", "NOREPLICAS", "MISCONF", "OOM"))


class Joined:
    """Calls of any number of tasks on one Link. An error reply comes back as a value, a missing one as Unavailable for all of the trip."""

    def __init__(self, url: str, *, deadline: float = 5.0) -> None:
        self._answers = self._writes = True  # the last round trip was answered; the last script was let run
        self._stale = False  # the next trip is on a connection made anew
        self._link = Link(url, deadline=deadline)
        self._waiting: list[tuple[Sequence[Command], asyncio.Future[list[Any]]]] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def reachable(self) -> bool:
        """Whether the server answered when it was last asked, and let the last script write."""
        return self._answers and self._writes

    async def close(self) -> None:
        """Finish the round trips asked for, and let the connection go."""
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._link.close()

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The reply to each command. Raises Unavailable."""
        answered: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, answered))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._trips(), name="redis-door-calls")
        return await answered

    async def run(self, script: Script, key: str, *arguments: Argument) -> Any:
        """The script's reply. Raises Unavailable, on the script's own error as well."""
        (reply,) = await self.run_each(script, [(key, *arguments)])
        if isinstance(reply, Refused):
            raise self._refused(script, reply)
        return reply

    async def run_each(self, script: Script, calls: Sequence[Command]) -> list[Any]:
        """The script's reply to each call, a key and arguments. Raises Unavailable, where the server takes no writes too."""
        replies = await self.ask([(b"EVALSHA", script.sha, 1, *call) for call in calls])
        unknown = [place for place, reply in enumerate(replies) if is_no_script(reply)]
        if unknown:
            again = await self.ask([(b"EVAL", script.text, 1, *calls[place]) for place in unknown])
            for place, reply in zip(unknown, again, strict=True):
                replies[place] = reply
        unwritable = [reply for reply in replies if isinstance(reply, Refused) and reply.code in UNWRITABLE]
        self._writes = not unwritable
        if unwritable:
            raise self._refused(script, unwritable[0])
        return replies

    def _refused(self, script: Script, reply: Refused) -> Unavailable:
        """The next trip is on a new connection: after a failover the name leads to another server, and this one stays read-only."""
        log.warning("script %s failed: %s", script.name, reply)
        self._stale = True
        return Unavailable("the door's Redis refused the write")

    async def _trips(self) -> None:
        while self._waiting:
            going = [self._waiting.pop(0)]
            count = len(going[0][0])
            while self._waiting and count + len(self._waiting[0][0]) <= AT_ONCE:
                count += len(self._waiting[0][0])
                going.append(self._waiting.pop(0))
            if self._stale:
                self._stale = False
                await self._link.close()
            try:
                replies = await self._link.call(*(command for commands, _ in going for command in commands))
            except Unavailable as error:
                self._answers = False
                for _, answered in going:
                    if not answered.done():
                        answered.set_exception(error)
                continue
            self._answers = True
            place = 0
            for commands, answered in going:
                if not answered.done():
                    answered.set_result(replies[place : place + len(commands)])
                place += len(commands)
