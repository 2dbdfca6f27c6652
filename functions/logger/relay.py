"""The relay: what is logged and not delivered goes to its backbone, in log order, whatever its age (log.md, "Publish, pending, relay").

One works for each (shard, backbone), under a lease. An open gate costs it a look every 500 ms. A held one it empties from the oldest
entry on; with fewer than 1,000 messages left it sets `closing`, so that doors log and wait, and opens when what was logged before is done.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from functions.logger.outcome import Item, Round, Schedule, Schedules
from functions.logger.repair import Repair
from shared.domain.errors import Conflict, SwitchboardError, Unavailable
from shared.domain.message import Message
from shared.domain.relaying import Gate, Pending, Waiting
from shared.domain.repairing import Marked
from shared.pause import set_within
from shared.ports import Known, RelayLog, Streams

OPEN, HELD, CLOSING = "open", "held", "closing"
GROUP = 1_000  # messages of one org in flight
RETRIES = 100  # tried in one go
LOOKED_UP_AFTER_US = 120_000_000
CLOSING_AT_MOST_S = 1.0
LEASE_EVERY_S, LEASE_LASTS_S = 1.0, 3.0  # the second as in RelayLog.lease
LOOK_FOR_EXPIRED_S = 60.0
GONE = "neither the log nor the store has the message any more"

log = logging.getLogger(__name__)


class Relay:
    """One worker's relay for one backbone of one shard. Only the holder of the lease publishes.

    `schedules` says of a message what config says of its topic; without it `schedule` holds for all, and for what nobody can read.
    """

    def __init__(
        self,
        relay_log: RelayLog,
        backbone: str,
        backbones: Streams,
        store: Known,
        schedule: Schedule | None = None,
        schedules: Schedules | None = None,
        ours: Callable[[Message], bool] = lambda _: True,
    ) -> None:
        self.backbone = backbone
        self.delivered = 0  # messages
        self.repaired = 0  # messages that the backbone had lost
        self.state = ""  # of the gate, as last seen
        self.stuck = 0  # flushes that could not be read and were not delivered, as last seen
        self._log = relay_log
        self._backbones = backbones
        self._store = store
        self._repair = Repair(relay_log, backbone, backbones, store, ours)
        self._schedule = schedule or Schedule()
        self._schedules = schedules or (lambda _: self._schedule)
        self._failures = 0  # in a row: rounds that lost something, or could not be done
        self._expired_at = 0.0  # when to look for expired entries again, by time.monotonic()
        self._leased_until = 0.0  # by time.monotonic()
        self._clock = 0.0  # Redis TIME minus time.monotonic(), as the last look at the gate told it

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then the lease is given up, for another relay to take at once."""
        ended = asyncio.Event()  # later than `stop`: the last step needs the lease
        keeping = asyncio.create_task(self._keep_lease(ended), name=f"relay-lease-{self.backbone}")
        try:
            while not await set_within(stop, await self._step_or_pause()):
                pass
        finally:
            ended.set()
            await keeping
            self._leased_until = 0.0
            try:
                await self._log.leave()
            except Unavailable:
                log.info("the relay's lease on %s ends by itself", self.backbone)

    @property
    def leased(self) -> bool:
        """Whether nobody else can have the lease: it was renewed less than its life ago.

        By our own clock, and not by what the log said last: a process that was stopped for a while finds out before it publishes what
        another has published meanwhile, and what came behind that.
        """
        return time.monotonic() < self._leased_until

    async def renew(self) -> None:
        """Take the lease, or keep it. Raises Unavailable."""
        asked = time.monotonic()
        self._leased_until = asked + LEASE_LASTS_S if await self._log.lease() else 0.0

    async def _keep_lease(self, ended: asyncio.Event) -> None:
        """Renewed beside the work: a publish may take most of the time that a lease lasts."""
        while True:
            try:
                await self.renew()
            except Exception as error:
                self._note(error)
            if await set_within(ended, LEASE_EVERY_S):
                return

    async def _step_or_pause(self) -> float:
        """One step; the seconds until the next."""
        if not self.leased:
            return self._schedule.look_s / 5
        try:
            return await self.step()
        except Conflict:
            self._leased_until = 0.0
            return self._schedule.look_s
        except Exception as error:
            self._note(error)
            return self._pause()

    def _note(self, error: Exception) -> None:
        self._failures += 1
        if not isinstance(error, SwitchboardError):
            log.exception("the relay to %s failed, and tries again", self.backbone)
        elif self._failures == 1:
            log.warning("the relay to %s waits: %s", self.backbone, error.detail)

    def _pause(self) -> float:
        return min(self._schedule.look_s * 2.0 ** min(self._failures - 1, 10), self._schedule.longest_pause_s)

    async def step(self) -> float:
        """Look at the gate, and do what there is to do; the seconds until there may be more. Raises Conflict without the lease."""
        gate = await self._log.gate()
        self._clock = gate.now / 1e6 - time.monotonic()
        self.stuck = gate.stuck
        if gate.state != self.state:
            log.info("backbone %s is %s, %d flushes pending", self.backbone, gate.state, gate.pending)
            self.state = gate.state
        reachable = self._backbones.reachable(self.backbone)
        if gate.state != OPEN and (self._failures or not reachable):
            await self._give_up(gate)
        if not reachable:
            if gate.state == CLOSING:
                await self._log.turn(gate, HELD)
            return self._schedule.look_s
        if self._repair.due(gate) and (lost := await self._repair.lost(gate)):
            return await self._mend(lost, gate)
        if gate.due:
            await self._retry(gate)
        if gate.state == CLOSING:  # somebody stopped half-way
            await self._log.turn(gate, HELD)
            return 0.0
        return self._schedule.look_s if gate.state == OPEN else await self._drain(gate)

    async def _mend(self, lost: Sequence[Marked], gate: Gate) -> float:
        """Hold a backbone that lost messages, and give it those of each org again, in order. Raises Unavailable, Conflict."""
        if gate.state != HELD:
            log.error("backbone %s lacks messages that it took, of %s: it is held until it has them", self.backbone, _orgs(lost))
            await self._log.turn(gate, HELD)
            return 0.0
        await self._repair.written()
        for marked in lost:
            before = self.repaired
            async for messages in self._repair.missing(marked.org, self._now()):
                made = Round(self.backbone, self._schedules, self._now())
                if not await self._publish(made, {marked.org: [Item(0, 0, message, repair=True) for message in messages]}):
                    return self._pause()
                self.repaired += made.delivered
            await self._repair.mended(marked.org)
            log.warning("backbone %s has %d messages of %s again that it had lost", self.backbone, self.repaired - before, marked.org)
        return 0.0

    async def _drain(self, gate: Gate) -> float:
        """One round of a held backbone; after a failed one a single message, to see whether it answers."""
        most = 1 if self._failures else GROUP
        oldest = await self._log.oldest(most)
        count = sum(len(entry.waiting) for entry in oldest.entries)
        if oldest.all and count < GROUP and not self._failures:
            return await self._close(gate)
        return 0.0 if await self._deliver(oldest.entries, gate, most) else self._pause()

    async def _close(self, gate: Gate) -> float:
        """Doors log and wait: finish what was logged before, then open. Where that takes over a second, it is held again."""
        closing, last = await self._log.turn(gate, CLOSING)
        if closing is None:
            return 0.0
        until = time.monotonic() + CLOSING_AT_MOST_S
        good = True
        while good and time.monotonic() < until:
            oldest = await self._log.oldest(GROUP, last)
            if not oldest.entries:
                await self._log.turn(closing, OPEN)
                return self._schedule.look_s
            good = await self._deliver(oldest.entries, closing, GROUP)
        await self._log.turn(closing, HELD)
        return 0.0 if good else self._pause()

    async def _deliver(self, entries: Sequence[Pending], gate: Gate, most: int) -> bool:
        """Publish what the entries wait for, each org's in order, and note it. False where something got no PubAck: it stays pending."""
        made = Round(self.backbone, self._schedules, self._now())
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

    async def _publish(self, made: Round, groups: dict[str, list[Item]], entries: Sequence[Pending] = ()) -> bool:
        """One group in flight for each org, then one step in the log for all of them. Raises Conflict when the lease may be another's."""
        if not self.leased:
            raise Conflict(f"the lease of backbone {self.backbone} was not renewed in time")
        published = await asyncio.gather(
            *(self._backbones.publish(self.backbone, org, [item.outgoing() for item in items]) for org, items in groups.items())
        )
        for (org, items), group in zip(groups.items(), published, strict=True):
            made.note(org, items, group)
        await self._log.done(made.settle(entries))
        self.delivered += made.delivered
        if made.lost is None:
            self._failures = 0
            return True
        self._note(Unavailable(made.lost))
        return False

    async def _retry(self, gate: Gate) -> None:
        """Try again what is due; where its body can't be had now, the next time. What waits in order does not wait for this."""
        retries = await self._log.retries(RETRIES)
        try:
            bodies = await self._bodies([(retry.id, None) for retry in retries if retry.message is None])
        except Unavailable as error:
            log.info("the retries of %s wait for the store: %s", self.backbone, error.detail)
            retries, bodies = [retry for retry in retries if retry.message is not None], {}
        made = Round(self.backbone, self._schedules, self._now())
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
        if retries:
            await self._publish(made, groups)

    async def _give_up(self, gate: Gate) -> None:
        """What waited longer than `give_up_after` for an unreachable backbone is a dead letter; the oldest are looked at once a minute."""
        clock = time.monotonic()
        if clock < self._expired_at:
            return
        entries = (await self._log.oldest(GROUP)).entries
        unread = [(waiting.id, entry.logged_at) for entry in entries for waiting in entry.waiting if waiting.message is None]
        try:
            bodies = await self._bodies(unread)
        except Unavailable:  # then the schedule of all holds for them
            bodies = {}
        made = Round(self.backbone, self._schedules, self._now())
        buried = 0
        for entry in entries:
            for waiting in entry.waiting:
                message = waiting.message or bodies.get((waiting.id, entry.logged_at))
                if self._too_late(message, entry, gate):
                    made.bury(waiting.org, waiting.id, self._waited(message))
                    made.finish_pending(entry.flush, waiting.index)
                    buried += 1
        if not buried:
            self._expired_at = clock + min(LOOK_FOR_EXPIRED_S, self._schedule.give_up_after_s / 4)
            return
        log.error("giving up on %d messages for %s: it was not reachable for too long", buried, self.backbone)
        await self._log.done(made.settle([entry for entry in entries if entry.stuck is None]))

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
                    "flush %d can't be delivered to %s, and is put aside for the next relay: %s", entry.flush, self.backbone, entry.stuck
                )

    async def _bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]:
        return await self._store.bodies(wanted) if wanted else {}

    async def _taken_before(self, entries: Sequence[Pending], gate: Gate) -> set[tuple[bytes, bytes]]:
        """Which of the messages the stream's own memory may have forgotten were delivered before, by the delivery records."""
        aged = [entry for entry in entries if not 0 <= gate.now - entry.logged_at <= LOOKED_UP_AFTER_US]
        old = [_digested(waiting) for entry in aged for waiting in entry.waiting]
        if not old:
            return set()
        try:
            return await self._store.delivered(self.backbone, old)
        except Unavailable as error:  # twice is allowed so late, never is not
            log.info("relaying to %s without a look at the delivery records: %s", self.backbone, error.detail)
            return set()

    def _now(self) -> int:
        """Redis TIME, microseconds: what is recorded is put in order by it, whatever this machine's clock says."""
        return int((time.monotonic() + self._clock) * 1e6)


def _digested(waiting: Waiting) -> tuple[bytes, bytes]:
    """The message as delivery records are asked for it: an id alone may be of several."""
    return waiting.id, waiting.message.digest if waiting.message else b""


def _orgs(lost: Sequence[Marked]) -> str:
    return ", ".join(marked.org for marked in lost[:10]) + (f" and {len(lost) - 10} more" if len(lost) > 10 else "")
