"""Brokered: publish what the log has as accepted, and tell the log what became of it. The relay has whatever can't be done now."""

from collections.abc import Sequence

from functions.route.handler import Route
from shared.domain.logged import Entry
from shared.domain.message import Message
from shared.domain.verdict import Delivery
from shared.ports import LogQueue


class Logged:
    """The route stage on the log. An event is only a hint that a message may be published: the log says whether, and where to."""

    def __init__(self, log: LogQueue, route: Route) -> None:
        self._log, self._route = log, route

    async def __call__(self, messages: Sequence[Message]) -> list[tuple[Delivery, ...] | None]:
        """The deliveries of each message that was accepted in the recent window; None for one that wasn't: it is the relay's, or long done.

        A message that comes again is published again, under the same id: had route crashed behind its first copy, this heals it. Raises
        Unavailable.
        """
        entries = [entry if entry and entry.outcome == "duplicate" else None for entry in await self._log.seen(messages)]
        known: list[Entry] = [entry for entry in entries if entry is not None]
        made = iter(await self._route.handle(known).deliveries() if known else ())
        return [None if entry is None else next(made) for entry in entries]
