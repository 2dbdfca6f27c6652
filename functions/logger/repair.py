"""Repair: a backbone that lost what it took gets it again from the log, before anything new (log.md, "Repair").

What was delivered is compared with what the streams have: on every new connection, whenever the backbone is held, and every 10 s. A loss
takes the newest messages of a stream, or the stream. So the last one that is there of before it is looked for, backwards, in steps that
double, and every message recorded since then is asked for. What other shards and edges published after the loss is there as well, and says
nothing of what was lost: so the steps go on until they are behind a message that is known to be.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from shared.domain.errors import Unavailable
from shared.domain.message import Message
from shared.domain.relaying import Gate
from shared.domain.repairing import LAST, InStream, Mark, Marked
from shared.pause import doubled
from shared.ports import Known, RelayLog, Streams

EVERY_S = 10.0
FIRST_STEP_S = 60.0  # backwards
OVERTAKING_S = 120.0  # by which the times of deliveries may differ from the order of the stream: doors overtake each other, and each
# cluster's log has a clock of its own
AT_ONCE = 1_000  # messages
STREAMS_AT_ONCE = 32
SOON_S = 600.0  # after a repair: what is lost again within that time is given again later and later
FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 300.0


class Repair:
    """Of one backbone, for one shard: `ours` says which messages are of that."""

    def __init__(self, relay_log: RelayLog, backbone: str, backbones: Streams, store: Known, ours: Callable[[Message], bool]) -> None:
        self._log = relay_log
        self._backbone = backbone
        self._backbones = backbones
        self._store = store
        self._ours = ours
        self._connection = 0  # which was looked at last
        self._turn = ""  # of the gate, then
        self._next = 0.0  # when to look again, by time.monotonic()
        self._mended_at, self._mended_often = 0.0, 0  # the last repair, by time.monotonic(), and how many there were soon after each other
        self._logged = 0  # the last flush logged when a loss was noticed; 0: none is

    def due(self, gate: Gate) -> bool:
        """Whether to look at the streams before anything is published."""
        connection = self._backbones.connection(self._backbone)
        held_since = gate.state != "open" and gate.turn != self._turn
        return connection != 0 and (connection != self._connection or held_since or time.monotonic() >= self._next)

    async def lost(self, gate: Gate) -> list[Marked]:
        """The streams that lack what they took. Raises Unavailable."""
        connection = self._backbones.connection(self._backbone)
        marks = await self._log.marks()
        whole: list[Marked] = []
        lost: list[Marked] = []
        for start in range(0, len(marks), STREAMS_AT_ONCE):
            some = marks[start : start + STREAMS_AT_ONCE]
            for marked, good in zip(some, await asyncio.gather(*map(self._is_whole, some)), strict=True):
                (whole if good else lost).append(marked)
        await self._log.trust([marked for marked in whole if marked.doubt is not None])
        if not lost:
            self._connection, self._turn, self._next, self._logged = connection, gate.turn, time.monotonic() + EVERY_S, 0
        return lost

    def wait(self) -> float:
        """Seconds until what is lost may be given again. A backbone that says something else of itself each time, or that keeps nothing,
        would be given all of its log without end."""
        if self._mended_often < 2:
            return 0.0
        pause = doubled(FIRST_PAUSE_S, LONGEST_PAUSE_S, self._mended_often - 1)
        return max(0.0, self._mended_at + pause - time.monotonic())

    def finished(self) -> None:
        """Everything that was lost has been given again."""
        now = time.monotonic()
        self._mended_often = self._mended_often + 1 if self._mended_often and now - self._mended_at < SOON_S else 1
        self._mended_at = now

    async def written(self) -> None:
        """Raises Unavailable while the store lacks delivery records of what was published before the loss was noticed."""
        oldest, last = await self._log.unwritten()
        self._logged = self._logged or last
        if oldest is not None and oldest <= self._logged:
            raise Unavailable("a stream lost messages, and the store hasn't yet what was logged of them")

    async def missing(self, marked: Marked, now: int) -> AsyncIterator[list[Message]]:
        """What an org's stream took and has no more, in the order it took them, some at a time. `now`: microseconds since 1970.

        What retention removed from the store, or the stream would have dropped by its age, isn't among them. Raises Unavailable.
        """
        after, org = None, marked.org
        since = await self._since(marked, now)
        while records := await self._store.recorded(self._backbone, org, since, after, AT_ONCE):
            after = records[-1]
            stream = await self._look(org, [record.mark for record in records])
            wanted = [(record.id, record.time) for record in records if not stream.has(record.mark)]
            bodies = await self._store.bodies(wanted) if wanted else {}
            messages = [bodies[each] for each in wanted if each in bodies]
            if ours := [message for message in messages if self._ours(message)]:
                yield ours

    async def mended(self, org: str) -> None:
        """The org's stream has everything again: what it ends with is what it must have from now on."""
        stream = await self._backbones.look(self._backbone, org, (LAST,))
        last = stream.ids.get(stream.last)
        await self._log.mark(org, None if last is None else Mark(stream.created, stream.last, last))

    async def _is_whole(self, marked: Marked) -> bool:
        stream = await self._look(marked.org, marked.to_check)
        return all(stream.has(mark) for mark in marked.to_check)

    async def _look(self, org: str, marks: Sequence[Mark]) -> InStream:
        return await self._backbones.look(self._backbone, org, [mark.sequence for mark in marks])

    async def _since(self, marked: Marked, now: int) -> int:
        """A time before the first message that is missing."""
        stream = await self._look(marked.org, marked.to_check)
        lost = {mark for mark in marked.to_check if not stream.has(mark)}
        floor = max(0, now - int(stream.keeps_s * 1e6))
        back, until = FIRST_STEP_S, None
        while True:
            since = max(floor, now - int(back * 1e6))
            lost -= await self._recorded(lost, marked.org, since, until)
            if not lost:
                for record in await self._store.recorded(self._backbone, marked.org, since, None, 1):
                    if (await self._look(marked.org, [record.mark])).has(record.mark):
                        return max(floor, since - int(OVERTAKING_S * 1e6))
            if since == floor:
                return floor
            back, until = back * 2, since

    async def _recorded(self, marks: set[Mark], org: str, since: int, until: int | None) -> set[Mark]:
        """Which of these deliveries are recorded in that time. A message that was given again meanwhile, by a repair that broke off or by
        its sender, says nothing of those beside it: so every time counts."""
        found: set[Mark] = set()
        after = None
        while marks - found and (records := await self._store.recorded(self._backbone, org, since, after, AT_ONCE, every=True)):
            found.update(marks.intersection(record.mark for record in records))
            after = records[-1]
            if until is not None and after.time >= until:  # what is behind was looked at before
                break
        return found
