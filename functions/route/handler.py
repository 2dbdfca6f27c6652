"""Route: an accepted, logged message in, a delivery for each of its targets out. It publishes the targets the message names, no others."""

import asyncio
from collections.abc import Sequence

from functions.route.lane import Lane
from shared.domain.verdict import Delivery
from shared.ports import Backbones, Entry, LogQueue

MAX_LANES = 4_096  # an idle lane costs nothing but its place


class Route:
    """The lanes of one process, one a stream."""

    def __init__(self, backbones: Backbones, log: LogQueue) -> None:
        self._backbones = backbones
        self._log = log
        self._lanes: dict[tuple[str, str], Lane] = {}

    async def handle(self, entries: Sequence[Entry]) -> list[tuple[Delivery, ...]]:
        """The deliveries of each entry, in order. Entries of one call and stream are published in their order.

        A message without targets has one delivery that says why; what could not be published now is `pending`. Raises nothing.
        """
        targets, org = entries[0].targets, entries[0].message.org
        if len(targets) == 1 and all(entry.targets == targets and entry.message.org == org for entry in entries):
            return [(delivery,) for delivery in await self._lane(targets[0], org).publish(entries)]
        return await self._spread(entries)

    async def _spread(self, entries: Sequence[Entry]) -> list[tuple[Delivery, ...]]:
        """Entries of several targets: each lane gets its own, all lanes at once."""
        lanes: dict[tuple[str, str], list[int]] = {}
        for place, entry in enumerate(entries):
            for target in entry.targets:
                lanes.setdefault((target, entry.message.org), []).append(place)
        answers = [self._lane(*key).publish([entries[place] for place in places]) for key, places in lanes.items()]
        made: list[list[Delivery]] = [[] if entry.targets else [undeliverable(entry)] for entry in entries]
        for places, deliveries in zip(lanes.values(), await asyncio.gather(*answers), strict=True):
            for place, delivery in zip(places, deliveries, strict=True):
                made[place].append(delivery)
        return [tuple(deliveries) for deliveries in made]

    def _lane(self, backbone: str, org: str) -> Lane:
        key = (backbone, org)
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= MAX_LANES:
                self._lanes = {key: lane for key, lane in self._lanes.items() if not lane.idle}
            lane = self._lanes[key] = Lane(self._backbones, self._log, backbone, org)
        return lane


def undeliverable(entry: Entry) -> Delivery:
    """The delivery of a message that goes nowhere: it is a dead letter, and says why."""
    return Delivery("", status="dead-letter", error=entry.undeliverable or "no-route")
