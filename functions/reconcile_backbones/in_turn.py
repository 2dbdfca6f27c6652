"""The registry as many keepers write to it: one change at a time, and what they report all in one step while another is under way.

In the store they would wait for one lock, each with a connection and a deadline: two hundred keepers that had news at once were told that
the store takes too long, and a change was in force for half a minute before anybody could read that it was.
"""

import asyncio
from collections.abc import Collection, Sequence

from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.registry.deciding import Change, Kept, Place, Written
from shared.domain.registry.shapes import Event, Report, Status
from shared.ports import Registry

AT_ONCE = 500  # reports


class InTurn:
    """A Registry, for the keepers of one process."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._turn = asyncio.Lock()
        self._news: list[tuple[Report, asyncio.Future[bool]]] = []
        self._telling: asyncio.Task[None] | None = None

    async def registered(self, orgs: Collection[str] | None = None, path: str | None = None) -> dict[Place, Kept]:
        """See Registry.registered."""
        return await self._registry.registered(orgs, path)

    async def write(self, change: Change, author: str, reason: str = "") -> Written:
        """See Registry.write."""
        async with self._turn:
            return await self._registry.write(change, author, reason)

    async def report(self, org: str, path: str, status: Status, happened: Sequence[Event] = ()) -> bool:
        """See Registry.report."""
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._news.append((Report(org, path, status, happened), answered))
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell(), name="reports to the registry")
        return await answered

    async def report_all(self, reports: Sequence[Report]) -> list[bool]:
        """See Registry.report_all."""
        return await self._registry.report_all(reports)

    async def events(self, org: str, path: str, limit: int, before: int | None = None) -> list[Event]:
        """See Registry.events."""
        return await self._registry.events(org, path, limit, before)

    async def _tell(self) -> None:
        """What there is to report, and what comes meanwhile. What one of them is refused for is no other's matter."""
        while self._news:
            waiting, self._news = self._news[:AT_ONCE], self._news[AT_ONCE:]
            going = [each for each in waiting if not each[1].done()]  # who was broken off reports no more: its lease may be another's
            try:
                answers: Sequence[bool | BaseException] = await self._registry.report_all([report for report, _ in going])
            except Unavailable as error:
                answers = [error] * len(going)
            except SwitchboardError:
                answers = await asyncio.gather(*(self._registry.report(*report) for report, _ in going), return_exceptions=True)
            except Exception as error:  # a fault of ours: whoever reported is told
                answers = [error] * len(going)
            for (_, answered), answer in zip(going, answers, strict=True):
                if answered.done():  # who asked has gone
                    continue
                if isinstance(answer, BaseException):
                    answered.set_exception(answer)
                else:
                    answered.set_result(answer)
