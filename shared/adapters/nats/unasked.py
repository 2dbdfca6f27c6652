"""What a reconciler doesn't ask of hubs for a while: of those that don't answer a leaf anything, and not for streams that are too much, or
take too long, to be compared."""

import asyncio
import logging
from collections.abc import Collection
from math import inf
from typing import NamedTuple

from shared.adapters.nats.leaves import Begun
from shared.adapters.nats.reading import Endless
from shared.pause import doubled

AWAY_S, LONGEST_AWAY_S = 5.0, 30.0  # seconds for which a hub that didn't answer isn't asked again: a leaf may have a thousand streams
GIVEN_UP_S = 3_600.0  # seconds until a stream that was given up is compared again: reading it all is 13 s of CPU

_log = logging.getLogger(__name__)


class Place(NamedTuple):
    """A leaf's stream, and the hub that it is filled from."""

    backbone: str
    stream: str
    domain: str


class _Away(NamedTuple):
    """A hub that doesn't answer a leaf: how often in a row, and until when (loop time) it isn't asked."""

    failures: int = 0
    until: float = 0.0


class _GivenUp(NamedTuple):
    """In which life of the hub's stream, until when, and the source that gives at least what is new (None: the one that it has does)."""

    life: str = ""
    until: float = 0.0
    begun: Begun | None = None


class Unasked:
    """For all leaves of a process."""

    def __init__(self) -> None:
        self._away: dict[tuple[str, str], _Away] = {}  # by leaf and hub
        self._given_up: dict[Place, _GivenUp] = {}
        self._first: dict[str, float] = {}  # by leaf: when the first hub may be asked again that its last look heard nothing of

    def begin(self, backbone: str) -> None:
        """A look at a leaf begins."""
        self._first.pop(backbone, None)

    def forget(self, backbone: str) -> None:
        """It is looked after no more."""
        self.begin(backbone)
        self._away = {pair: found for pair, found in self._away.items() if pair[0] != backbone}
        self._given_up = {place: found for place, found in self._given_up.items() if place.backbone != backbone}

    def keep(self, backbone: str, places: Collection[Place]) -> None:
        """It has these: a stream or a hub that it has no longer isn't given up any more."""
        self._given_up = {place: found for place, found in self._given_up.items() if place.backbone != backbone or place in places}

    def until(self, backbone: str) -> float:
        """When (loop time) a hub may be asked again that the last look at the leaf heard nothing of; infinity where there is none."""
        return self._first.get(backbone, inf)

    @property
    def given_up(self) -> int:
        """How many streams these are."""
        return len(self._given_up)

    def is_away(self, place: Place) -> bool:
        """Whether the hub isn't asked now."""
        return _now() < self._away.get(place[::2], _Away()).until

    def away(self, place: Place) -> None:
        """The hub did not answer. It is asked later and later; of several streams that found so at once one counts."""
        if not self.is_away(place):
            failures = self._away.get(place[::2], _Away()).failures + 1
            self._away[place[::2]] = _Away(failures, _now() + doubled(AWAY_S, LONGEST_AWAY_S, failures))

    def left_out(self, place: Place) -> None:
        """A look hears nothing of a hub that is away."""
        self._first[place.backbone] = min(self.until(place.backbone), self._away[place[::2]].until)

    def answers(self, place: Place) -> None:
        """The hub did."""
        self._away.pop(place[::2], None)

    def give_up(self, place: Place, life: str, why: Endless, begun: Begun | None) -> None:
        """A stream isn't compared with the hub's in this life any more, for now. `begun`: the source that it is to have meanwhile."""
        said = (
            "%s of %s isn't compared with what %s has: %s. What that lost and was given again it may lack: see what is wrong with it, then "
        )
        remedy = "remove the leaf's stream, which is filled anew"
        _log.warning(said + remedy, place.stream, place.backbone, place.domain, why)
        self._given_up[place] = _GivenUp(life, _now() + GIVEN_UP_S, begun)

    def is_given_up(self, place: Place, life: str) -> bool:
        """Whether it is, in this life."""
        found = self._given_up.get(place, _GivenUp())
        return found.life == life and _now() < found.until

    def begun(self, place: Place) -> Begun | None:
        """The source that one that is given up is to have; None for that which it has."""
        return self._given_up.get(place, _GivenUp()).begun

    def compared(self, place: Place) -> None:
        """It was, or has nothing to be compared."""
        self._given_up.pop(place, None)


def _now() -> float:
    return asyncio.get_running_loop().time()
