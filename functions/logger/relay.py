"""The relay: what is logged and not delivered goes to its backbone, in log order, whatever its age (log.md, "Publish, pending, relay").

One works for each (shard, backbone), under a lease that a watch keeps for all of a shard (watching.py), and which wakes it. A held gate it
empties from the oldest entry on; with fewer than 1,000 messages left it sets `closing`, so that doors log and wait, and opens when what was
logged before is done.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from functions.logger.outcome import Round, Schedule, Schedules
from functions.logger.publishing import GROUP, Publishing
from functions.logger.repair import Repair
from shared.domain.errors import Conflict, SwitchboardError, Unavailable
from shared.domain.message import Message
from shared.domain.relaying import Gate, Watched
from shared.domain.repairing import Marked
from shared.pause import doubled, set_within
from shared.ports import Known, RelayLog, Streams

OPEN, HELD, CLOSING = "open", "held", "closing"
CLOSING_AT_MOST_S = 1.0

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
        self._repair = Repair(relay_log, backbone, backbones, store, ours)
        self._schedule = every = schedule or Schedule()
        self._publishing = Publishing(
            relay_log, backbone, backbones, store, every, schedules or (lambda _: every), leased=lambda: self.leased
        )
        self._failures = 0  # in a row: rounds that lost something, or could not be done
        self._leased_until = 0.0  # by time.monotonic()
        self._woken = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then the lease is given up, for another relay to take at once. Whoever watches it stops that before."""
        waking = asyncio.create_task(self._wake_at(stop), name=f"relay-stop-{self.backbone}")
        try:
            while not stop.is_set():
                await self._woken.wait()
                self._woken.clear()
                await set_within(stop, await self._work(stop))
        finally:
            waking.cancel()

    async def leave(self) -> None:
        """Give the lease up."""
        self._leased_until = 0.0
        try:
            await self._log.leave()
        except Unavailable:
            log.info("the relay's lease on %s ends by itself", self.backbone)

    def tell(self, watched: Watched | None, asked: float) -> None:
        """What a look at the log found, which began at `asked` (time.monotonic()); None: another relay has the lease.

        Wakes it where there is something to do: a backbone that is away costs nothing until it is back.
        """
        if watched is None:
            self._leased_until = 0.0
            return
        self._log.hold(watched.lease)
        self._leased_until = asked + watched.lasts_s
        gate = watched.gate
        self._see(gate)
        if self._backbones.reachable(self.backbone):
            has_work = gate.state != OPEN or gate.due > 0 or self._repair.due(gate)
        else:
            has_work = gate.state == CLOSING or (gate.state == HELD and self._publishing.may_give_up)
        if has_work:
            self._woken.set()

    @property
    def leased(self) -> bool:
        """Whether nobody else can have the lease: it was renewed less than its life ago.

        By our own clock, and not by what the log said last: a process that was stopped for a while finds out before it publishes what
        another has published meanwhile, and what came behind that.
        """
        return time.monotonic() < self._leased_until

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()

    async def _work(self, stop: asyncio.Event) -> float:
        """Steps as long as there is something to do at once; the seconds until there may be more."""
        while not stop.is_set():
            if pause := await self._step_or_pause():
                return pause
        return 0.0

    async def _step_or_pause(self) -> float:
        """One step; the seconds until the next."""
        if not self.leased:
            return self._schedule.look_s
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
        return doubled(self._schedule.look_s, self._schedule.longest_pause_s, self._failures)

    async def step(self) -> float:
        """Look at the gate, and do what there is to do; the seconds until there may be more. Raises Conflict without the lease."""
        gate = await self._log.gate()
        self._see(gate)
        self._publishing.tell(gate)
        reachable = self._backbones.reachable(self.backbone)
        if gate.state != OPEN and (self._failures or not reachable):
            await self._publishing.give_up(gate)
        if not reachable:
            if gate.state == CLOSING:
                await self._log.turn(gate, HELD)
            return self._schedule.look_s
        if self._repair.due(gate) and (lost := await self._repair.lost(gate)):
            return await self._mend(lost, gate)
        if gate.due and (made := await self._publishing.refused()) is not None:
            self._noted(made)
        if gate.state == CLOSING:  # somebody stopped half-way
            await self._log.turn(gate, HELD)
            return 0.0
        return self._schedule.look_s if gate.state == OPEN else await self._drain(gate)

    def _see(self, gate: Gate) -> None:
        self.stuck = gate.stuck
        if gate.state != self.state:
            log.info("backbone %s is %s, %d flushes pending", self.backbone, gate.state, gate.pending)
            self.state = gate.state

    async def _mend(self, lost: Sequence[Marked], gate: Gate) -> float:
        """Hold a backbone that lost messages, and give it those of each org again, in order. Raises Unavailable, Conflict."""
        if gate.state != HELD:
            log.error("backbone %s lacks messages that it took, of %s: it is held until it has them", self.backbone, _orgs(lost))
            await self._log.turn(gate, HELD)
            return 0.0
        if (wait := self._repair.wait()) > 0:
            return min(wait, self._schedule.longest_pause_s)
        await self._repair.written()
        for marked in lost:
            before = self.repaired
            async for messages in self._repair.missing(marked, self._publishing.now()):
                made = await self._publishing.lost(marked.org, messages)
                if not self._noted(made):
                    return self._pause()
                self.repaired += made.delivered
            await self._repair.mended(marked.org)
            log.warning("backbone %s has %d messages of %s again that it had lost", self.backbone, self.repaired - before, marked.org)
        self._repair.finished()
        return 0.0

    async def _drain(self, gate: Gate) -> float:
        """One round of a held backbone; after a failed one a single message, to see whether it answers."""
        most = 1 if self._failures else GROUP
        oldest = await self._log.oldest(most)
        count = sum(len(entry.waiting) for entry in oldest.entries)
        if oldest.all and count < GROUP and not self._failures:
            return await self._close(gate)
        return 0.0 if self._noted(await self._publishing.pending(oldest.entries, gate, most)) else self._pause()

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
            good = self._noted(await self._publishing.pending(oldest.entries, closing, GROUP))
        await self._log.turn(closing, HELD)
        return 0.0 if good else self._pause()

    def _noted(self, made: Round) -> bool:
        """Whether all of a round got an answer; where something got no PubAck the next one is tried later."""
        self.delivered += made.delivered
        if made.lost is None:
            self._failures = 0
            return True
        self._note(Unavailable(made.lost))
        return False


def _orgs(lost: Sequence[Marked]) -> str:
    return ", ".join(marked.org for marked in lost[:10]) + (f" and {len(lost) - 10} more" if len(lost) > 10 else "")
