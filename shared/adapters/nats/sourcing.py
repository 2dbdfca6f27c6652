"""What a leaf's stream takes from a hub's, and from where on: taken again from a hub that lost messages.

The server that fills the leaf's stream remembers the sequence it got to, and asks for what is behind it. A hub that comes back with an old
store gives the sequences that it lost to other messages, which that server would never ask for. So the leaf's stream says which life of the
hub's it was compared with: a stream can lose its newest messages only where a server starts, or a leader is elected, and that is another
life. Of a new one everything that the leaf's stream lacks is looked for, and where that is among what its server passes over it is taken
from there on, as another source: what the stream has already is dropped by its id, within the duplicate window.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence
from typing import NamedTuple

from shared.adapters.nats.asking import asked
from shared.adapters.nats.beside import Beside, Piece
from shared.adapters.nats.comparing import Mark, life_of, next_missing, time_under
from shared.adapters.nats.connection import Connection
from shared.adapters.nats.leaves import PLAIN, Begun, Json, Leaf, Origin, begun_key, life_key, source_of
from shared.adapters.nats.reading import Endless, Unreadable
from shared.adapters.nats.replies import Lost
from shared.adapters.nats.streams import NOT_FOUND
from shared.adapters.nats.unasked import Place, Unasked
from shared.domain.registry.reach import Reach
from shared.domain.registry.streams import Source, WantedStream

WAITS_S = 2.0  # seconds for which a look waits for comparisons, of all its streams; they go on beside it
HUBS_AT_ONCE = 3  # that are compared with, two of an org at most: of each two streams may be in memory, some 60 MB
TURN_S = 30.0  # seconds for which one leaf's comparison keeps others of its hub waiting: its link may be slow
LONGEST_S = 600.0  # seconds for one comparison: a million messages over a line with 100 ms there and back
MOST_WAIT = 10_000  # comparisons for their turn: some 3 KB each
FIRST_NUMBER, NUMBERS = 1_000, 2**31 - 1_001  # of sources: longer than any org's name, and what the server reads as a number

_log = logging.getLogger(__name__)


class _Said(NamedTuple):
    """A source, the life of the hub's stream that it was compared with, and how it began where it began anew."""

    begun: Begun
    life: str


class Look(NamedTuple):
    """A look at a leaf, and until when (loop time) it waits for comparisons."""

    connection: Connection
    reach: Reach
    until: float


class Sourcing:
    """What was found at the last look at each leaf's stream: with it only what came since is read when a hub has begun a new life."""

    def __init__(self) -> None:
        self._marks: dict[Place, Mark] = {}
        self._compared: dict[Place, _Said] = {}  # with a life that a server may have refused to note
        self._unasked = Unasked()
        self._comparing: Beside[Place, int] = Beside(HUBS_AT_ONCE, MOST_WAIT, TURN_S)  # a hub's one after the other: all may be read
        self._behind: set[Place] = set()  # what the last look could not wait for

    async def forget(self, backbone: str) -> None:
        """It is looked after no more."""
        await self._comparing.drop([place for place in self._comparing.keys if place.backbone == backbone])
        self._behind = {place for place in self._behind if place.backbone != backbone}
        self._marks = {place: mark for place, mark in self._marks.items() if place.backbone != backbone}
        self._compared = {place: found for place, found in self._compared.items() if place.backbone != backbone}
        self._unasked.forget(backbone)

    def keep(self, backbone: str, streams: Iterable[WantedStream]) -> None:
        """It is to have these: what was said of another stream, or of a hub that none is filled from any more, is over."""
        if self.given_up:
            self._unasked.keep(backbone, {Place(backbone, stream.name, one.domain) for stream in streams for one in stream.sources})

    def look(self, connection: Connection, reach: Reach) -> Look:
        """A look at a leaf that begins now."""
        self._behind = {place for place in self._behind if place.backbone != reach.id}
        self._unasked.begin(reach.id)
        return Look(connection, reach, asyncio.get_running_loop().time() + WAITS_S)

    def is_behind(self, backbone: str) -> bool:
        """Whether something of it is still to be compared: the next look is to come soon."""
        return any(place.backbone == backbone for place in self._behind)

    def asks_again_at(self, backbone: str) -> float:
        """When (loop time) a hub may be asked again that its last look heard nothing of; infinity where there is none."""
        return self._unasked.until(backbone)

    @property
    def given_up(self) -> int:
        """How many streams of leaves aren't compared with a hub's, which has too much or takes too long."""
        return self._unasked.given_up

    async def sourced(self, look: Look, stream: str, wanted: Sequence[Source]) -> Json:
        """What a leaf's stream is to say of its sources, in the server's own names. Those of a hub that doesn't answer, or that it can't be
        compared with in time, stay as they are.

        Raises Lost where the leaf doesn't answer.
        """
        leaf = await asked(look.connection, f"STREAM.INFO.{stream}", {}, Leaf)
        if leaf.error is not None and leaf.error.err_code == NOT_FOUND:
            for one in wanted:
                self._unasked.compared(Place(look.reach.id, stream, one.domain))  # all that its hub has comes anew
            return {"sources": [source_of(one) for one in wanted]}
        if leaf.error is not None:  # an election: what it has must not be taken for what it hasn't
            raise Lost(f"{stream}: {leaf.error.description}")
        found = [await self._source(look, Place(look.reach.id, stream, one.domain), leaf, one) for one in wanted]
        metadata = leaf.metadata
        for one, said in zip(wanted, found, strict=True):
            if said.life:
                metadata[life_key(one.domain)] = said.life
            if said.begun.number and said.begun.created:
                metadata[begun_key(one.domain)] = str(said.begun)
        return {"sources": [source_of(one, said.begun) for one, said in zip(wanted, found, strict=True)], "metadata": metadata}

    async def _source(self, look: Look, place: Place, leaf: Leaf, one: Source) -> _Said:
        """The source of one hub."""
        before = leaf.life(one.domain)
        as_it_is = _Said(leaf.begun(one.domain), before)
        if self._unasked.is_away(place):
            self._unasked.left_out(place)
            return as_it_is
        try:
            stored = await self._stored(look, place, leaf, one)
            origin, life = await life_of(look.connection, one)
            self._unasked.answers(place)
            as_it_is = _Said(_kept(leaf, one, origin), before)
            if not life or not leaf.says(one.domain):
                return as_it_is
            if life == before:
                self._compared.pop(place, None)
                self._unasked.compared(place)
                self._marks[place] = Mark(life, origin.created, leaf.reached(one.domain), stored, leaf.state.last_seq, origin.ts)
                return as_it_is
            if place not in self._compared or self._compared[place].life != life:
                if self._unasked.is_given_up(place, life):
                    await self._comparing.drop([place])  # which failed beside the looks, maybe
                    return _Said(self._unasked.begun(place) or as_it_is.begun, before)
                start = await self._passed_over(look, place, leaf, one, origin, life)
                if start is None:
                    self._behind.add(place)
                    return as_it_is
                self._unasked.compared(place)
                self._compared[place] = _Said(_begun(place, life, start, origin, as_it_is.begun), life)
        except Endless:  # it was said
            return _Said(self._unasked.begun(place) or as_it_is.begun, before)
        except Unreadable as refused:
            _log.warning("%s of %s isn't compared with what %s has: %s", place.stream, place.backbone, one.domain, refused)
            return as_it_is
        except Lost as lost:
            _log.debug("%s: the hub %s can't be asked: %s", place.backbone, one.domain, lost)
            self._unasked.away(place)
            self._unasked.left_out(place)
            return as_it_is
        return self._compared[place]

    async def _stored(self, look: Look, place: Place, leaf: Leaf, one: Source) -> str:
        """When the hub's stream stored what the leaf got to. It is asked before the life is: so it is of that life. Raises Lost."""
        mark, reached = self._marks.get(place, Mark()), leaf.reached(one.domain)
        if mark.stored and (mark.life, mark.sequence) == (leaf.life(one.domain), reached):
            return mark.stored
        return await time_under(look.connection, one, reached)

    async def _passed_over(self, look: Look, place: Place, leaf: Leaf, one: Source, origin: Origin, life: str) -> int | None:
        """Where what the leaf lacks and its server passed over begins; 0: there is no such; None: that isn't known yet. Raises Lost."""
        mark, reached = self._marks.get(place, Mark()), leaf.reached(one.domain)
        if not reached:
            return 0

        async def compare() -> int:
            if self._unasked.is_away(place):
                raise Lost("it did not answer")
            try:
                start = await _within(LONGEST_S, next_missing(look.connection, place.stream, one, origin, mark))
            except Endless as why:
                begun = _at_its_end(place, life, origin, mark) if origin.state.last_seq < reached else None
                self._unasked.give_up(place, life, why, begun)  # here: no look may hear of it
                raise
            except Unreadable:
                raise
            except Lost:
                self._unasked.away(place)  # those that wait for their turn don't wait for it, too
                raise
            return start if start <= reached else 0  # by how far it was when this began: it goes on before a look hears of it

        return await self._comparing.done(Piece(place, life, look.reach.org, (look.reach.org, one.domain)), compare, look.until)


async def _within(seconds: float, comparison: Awaitable[int]) -> int:
    """What comes of a comparison. Raises Endless where it takes longer."""
    try:
        async with asyncio.timeout(seconds):
            return await comparison
    except TimeoutError:
        raise Endless(f"it takes more than {seconds:.0f} s") from None


def _kept(leaf: Leaf, one: Source, origin: Origin) -> Begun:
    """How the leaf's source began; as of old where the hub's stream is another one, and the leaf takes nothing of it at the moment."""
    begun = leaf.begun(one.domain)
    if not begun.number or not origin.created:
        return begun
    if leaf.source(one.domain):
        return begun._replace(created=origin.created)
    return begun if begun.created == origin.created else PLAIN


def _at_its_end(place: Place, life: str, origin: Origin, mark: Mark) -> Begun:
    """The source of a hub whose stream ends before what the leaf got to, where nobody knows what the leaf lacks. It gives what is new: one
    that asks for what is behind what the leaf got to wouldn't. All of it, where the stream is another one."""
    start = 1 if mark.created not in ("", origin.created) else origin.state.last_seq + 1
    # Another number than what a comparison would find has, later and in this life: to the server it is another source then.
    return _begun(place, f"{life}0", start, origin, PLAIN)


def _begun(place: Place, life: str, start: int, origin: Origin, as_it_is: Begun) -> Begun:
    """The source that gives what is missing from `start` on; 0: nothing is that its server doesn't ask for by itself."""
    if not start:
        return as_it_is
    _log.warning("%s of %s takes what %s has from %d on again: it lost messages", place.stream, place.backbone, place.domain, start)
    return Begun(FIRST_NUMBER + int(life, 16) % NUMBERS, start, origin.created)
