"""What a relay publishes on its backbone, and notes in the log: what waits there in order, what was refused before, what the backbone lost
(log.md, "Publish, pending, relay"). When that may be is relay.py's to say.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from functions.logger.outcome import Item, Round, Schedule, Schedules
from shared.domain.errors import Conflict, Unavailable
from shared.domain.message import Message
from shared.domain.relaying import Gate, Pending, Waiting
from shared.ports import Known, RelayLog, Streams

GROUP = 1_000  # messages of one org in flight
RETRIES = 100  # tried in one go
LOOKED_UP_AFTER_US = 120_000_000
LOOK_FOR_EXPIRED_S = 60.0
GONE = "neither the log nor the store has the message any more"

Bodies = dict[tuple[bytes, int | None], Message]

log = logging.getLogger(__name__)


class Publishing:
    """For one backbone of one shard. `schedule` is of what nobody can read, `schedules` of every message; nothing is published while
    `leased` says no."""

    def __init__(
        self,
        relay_log: RelayLog,
        backbone: str,
        backbones: Streams,
        store: Known,
        schedule: Schedule,
        schedules: Schedules,
        leased: Callable[[], bool],
    ) -> None:
        self._log = relay_log
        self._backbone = backbone
        self._backbones = backbones
        self._store = store
        self._schedule = schedule
        self._schedules = schedules
        self._leased = leased
        self._expired_at = 0.0  # when to look for expired entries again, by time.monotonic()
        self._clock = 0.0  # Redis TIME minus time.monotonic(), as the last look at the gate told it

    def tell(self, gate: Gate) -> None:
        """What time it is by the log's clock: what is recorded is put in order by it, whatever this machine's clock says."""
        self._clock = gate.now / 1e6 - time.monotonic()

    def now(self) -> int:
        """Redis TIME, microseconds."""
        return int((time.monotonic() + self._clock) * 1e6)

    @property
    def may_give_up(self) -> bool:
        """Whether give_up() would look."""
        return time.monotonic() >= self._expired_at

    async def pending(self, entries: Sequence[Pending], gate: Gate, most: int) -> Round:
        """Publish what the entries wait for, each org's in order and `most` of it, and note it: what is lost stays pending. Raises
        Unavailable, Conflict."""
        made = self._round()
        bodies = await self._bodies(
            [(waiting.id, entry.logged_at) for entry in entries for waiting in entry.waiting if waiting.message is None]
        )
        taken = await self._taken_before(entries, gate)
        groups: dict[str, list[Item]] = {}
        self._say_stuck(entries)
        for entry in entries:
            for waiting in entry.waiting:
                message = waiting.message or bodies.get((waiting.id, entry.logged_at))
                if _digested(waiting) in taken:
                    made.finish_pending(entry.flush, waiting.index)
                elif message is None:
                    made.bury(waiting.org, waiting.id, GONE)
                    made.finish_pending(entry.flush, waiting.index)
                elif self._too_late(message, entry, gate):
                    made.bury(waiting.org, waiting.id, self._waited(message))
                    made.finish_pending(entry.flush, waiting.index)
                else:
                    groups.setdefault(waiting.org, []).append(Item(entry.flush, waiting.index, message))
        return await self._publish(made, {org: items[:most] for org, items in groups.items()}, entries)

    async def lost(self, org: str, messages: Sequence[Message]) -> Round:
        """Publish again what the backbone took and has no more. Raises Unavailable, Conflict."""
        return await self._publish(self._round(), {org: [Item(0, 0, message, repair=True) for message in messages]})

    async def refused(self) -> Round | None:
        """Try again what is due, None where nothing can be tried now: where its body can't be had, the next time. What waits in order does
        not wait for this. Raises Unavailable, Conflict."""
        retries = await self._log.retries(RETRIES)
        try:
            bodies = await self._bodies([(retry.id, None) for retry in retries if retry.message is None])
        except Unavailable as error:
            log.info("the retries of %s wait for the store: %s", self._backbone, error.detail)
            retries, bodies = [retry for retry in retries if retry.message is not None], {}
        made = self._round()
        groups: dict[str, list[Item]] = {}
        for retry in retries:
            message = retry.message or bodies.get((retry.id, None))
            if message is None:
                made.bury(retry.org, retry.id, GONE, retry.attempts)
                made.relayed.tried.append(retry)
            elif retry.attempts >= self._schedules(message).attempts:
                made.bury(message.org, message.id, f"refused {retry.attempts} times", retry.attempts)
                made.relayed.tried.append(retry)
            else:
                groups.setdefault(message.org, []).append(Item(retry.flush, retry.index, message, retry))
        return await self._publish(made, groups) if retries else None

    async def give_up(self, gate: Gate) -> None:
        """What waited longer than `give_up_after` for an unreachable backbone is a dead letter; the oldest are looked at once a minute.
        Raises Unavailable, Conflict."""
        if not self.may_give_up:
            return
        entries = (await self._log.oldest(GROUP)).entries
        unread = [(waiting.id, entry.logged_at) for entry in entries for waiting in entry.waiting if waiting.message is None]
        try:
            bodies = await self._bodies(unread)
        except Unavailable:  # then the schedule of all holds for them
            bodies = {}
        made = self._round()
        buried = 0
        for entry in entries:
            for waiting in entry.waiting:
                message = waiting.message or bodies.get((waiting.id, entry.logged_at))
                if self._too_late(message, entry, gate):
                    made.bury(waiting.org, waiting.id, self._waited(message))
                    made.finish_pending(entry.flush, waiting.index)
                    buried += 1
        if not buried:
            self._expired_at = time.monotonic() + min(LOOK_FOR_EXPIRED_S, self._schedule.give_up_after_s / 4)
            return
        log.error("giving up on %d messages for %s: it was not reachable for too long", buried, self._backbone)
        await self._log.done(made.settle([entry for entry in entries if entry.stuck is None]))

    async def _publish(self, made: Round, groups: dict[str, list[Item]], entries: Sequence[Pending] = ()) -> Round:
        """One group in flight for each org, then one step in the log for all of them. Raises Conflict when the lease may be another's."""
        if not self._leased():
            raise Conflict(f"the lease of backbone {self._backbone} was not renewed in time")
        published = await asyncio.gather(
            *(self._backbones.publish(self._backbone, org, [item.outgoing() for item in items]) for org, items in groups.items())
        )
        for (org, items), group in zip(groups.items(), published, strict=True):
            made.note(org, items, group)
        await self._log.done(made.settle(entries))
        return made

    def _round(self) -> Round:
        return Round(self._backbone, self._schedules, self.now())

    def _too_late(self, message: Message | None, entry: Pending, gate: Gate) -> bool:
        """Whether a message has waited longer than its topic's `give_up_after`."""
        schedule = self._schedule if message is None else self._schedules(message)
        return entry.logged_at < gate.now - int(schedule.give_up_after_s * 1e6)

    def _waited(self, message: Message | None) -> str:
        schedule = self._schedule if message is None else self._schedules(message)
        seconds = schedule.give_up_after_s
        return f"not reachable for {seconds / 3600:g} h" if seconds >= 3600 else f"not reachable for {seconds:g} s"

    def _say_stuck(self, entries: Sequence[Pending]) -> None:
        for entry in entries:
            if entry.stuck is not None:
                log.error(
                    "flush %d can't be delivered to %s, and is put aside for the next relay: %s", entry.flush, self._backbone, entry.stuck
                )

    async def _bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> Bodies:
        return await self._store.bodies(wanted) if wanted else {}

    async def _taken_before(self, entries: Sequence[Pending], gate: Gate) -> set[tuple[bytes, bytes]]:
        """Which of the messages the stream's own memory may have forgotten were delivered before, by the delivery records."""
        aged = [entry for entry in entries if not 0 <= gate.now - entry.logged_at <= LOOKED_UP_AFTER_US]
        old = [_digested(waiting) for entry in aged for waiting in entry.waiting]
        if not old:
            return set()
        try:
            return await self._store.delivered(self._backbone, old)
        except Unavailable as error:  # twice is allowed so late, never is not
            log.info("relaying to %s without a look at the delivery records: %s", self._backbone, error.detail)
            return set()


def _digested(waiting: Waiting) -> tuple[bytes, bytes]:
    """The message as delivery records are asked for it: an id alone may be of several."""
    return waiting.id, waiting.message.digest if waiting.message else b""
