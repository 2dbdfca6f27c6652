"""Route: an accepted, logged message in, a delivery for each of its targets out. It publishes the targets the message names, no others."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from functions.route.lane import FIRST_RETRY_MS, FirstRetry, Lane, Told
from shared.domain.logged import Entry, Fresh
from shared.domain.message import Message
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Delivery, dead_letter
from shared.ports import Backbones, LogQueue

MAX_LANES = 4_096  # an idle lane costs nothing but its place


class State(Protocol):
    """The snapshot in force."""

    @property
    def current(self) -> Snapshot: ...


def first_retry(state: State, message: Message) -> int:
    """After how many ms a message that its backbone refused is tried again; at once where it isn't to be: the relay buries it."""
    way = state.current.rules.delivering(message)
    return 0 if way.attempts <= 1 else way.initial_ms


class Route:
    """The lanes of one process, one a stream. `first_retry` says when what a backbone refuses is tried again."""

    def __init__(self, backbones: Backbones, log: LogQueue, first_retry: FirstRetry = lambda _: FIRST_RETRY_MS) -> None:
        self._backbones = backbones
        self._log = log
        self._first_retry = first_retry
        self._lanes: dict[tuple[str, str], Lane] = {}

    def handle(self, entries: Sequence[Entry]) -> "Sending":
        """Hand entries to their lanes: what is handed over first is published first. Raises nothing.

        What it returns gives the deliveries; nobody has to ask for them.
        """
        if isinstance(entries, Fresh):
            targets, org, alike = entries.targets, entries.org, True
        else:
            targets, org = entries[0].targets, entries[0].message.org
            alike = all(entry.targets == targets and entry.message.org == org for entry in entries)
        if alike and len(targets) == 1:
            return Sending(entries, [], [self._lane(targets[0], org).publish(entries)])
        lanes: dict[tuple[str, str], list[int]] = {}
        for place, entry in enumerate(entries):
            for target in entry.targets:
                lanes.setdefault((target, entry.message.org), []).append(place)
        answers = [self._lane(*key).publish([entries[place] for place in places]) for key, places in lanes.items()]
        return Sending(entries, list(lanes.values()), answers)

    def _lane(self, backbone: str, org: str) -> Lane:
        key = (backbone, org)
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= MAX_LANES:
                self._lanes = {key: lane for key, lane in self._lanes.items() if not lane.idle}
            lane = self._lanes[key] = Lane(self._backbones, self._log, backbone, org, self._first_retry)
        return lane


class Sending:
    """Entries on their way. `placed` says which of them each lane's answer is about; empty: there is one lane, and it has all."""

    __slots__ = ("_answers", "_entries", "_placed")

    def __init__(self, entries: Sequence[Entry], placed: Sequence[Sequence[int]], answers: Sequence[asyncio.Future[Told]]) -> None:
        self._entries = entries
        self._placed = placed
        self._answers = answers

    async def deliveries(self) -> Sequence[tuple[Delivery, ...]]:
        """The deliveries of each entry, in order, once every lane has answered.

        A message without targets has one that says why; what could not be published now is `pending`.
        """
        if not self._placed and self._answers:
            return await self._answers[0]
        made: list[tuple[Delivery, ...]] = [() if entry.targets else (undeliverable(entry),) for entry in self._entries]
        for places, deliveries in zip(self._placed, await asyncio.gather(*self._answers), strict=True):
            for place, of_entry in zip(places, deliveries, strict=True):
                made[place] += of_entry
        return made


def undeliverable(entry: Entry) -> Delivery:
    """The delivery of a message that goes nowhere: it is a dead letter, and says why."""
    return dead_letter(entry.undeliverable)
