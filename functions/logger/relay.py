"""The relay: what is logged and not delivered goes to its backbone, in log order, whatever its age (log.md, "Publish, pending, relay").

One works for each (shard, backbone), under a lease. An open gate costs it a look every 500 ms. A held one it empties from the oldest
entry on; with fewer than 1,000 messages left it sets `closing`, so that doors log and wait, and opens when what was logged before is done.
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
from shared.domain.relaying import Gate
from shared.domain.repairing import Marked
from shared.pause import set_within
from shared.ports import Known, RelayLog, Streams

OPEN, HELD, CLOSING = "open", "held", "closing"
CLOSING_AT_MOST_S = 1.0
LEASE_EVERY_S, LEASE_LASTS_S = 1.0, 3.0  # the second as in RelayLog.lease

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
        self._publishing.tell(gate)
        self.stuck = gate.stuck
        if gate.state != self.state:
            log.info("backbone %s is %s, %d flushes pending", self.backbone, gate.state, gate.pending)
            self.state = gate.state
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

    async def _mend(self, lost: Sequence[Marked], gate: Gate) -> float:
        """Hold a backbone that lost messages, and give it those of each org again, in order. Raises Unavailable, Conflict."""
        if gate.state != HELD:
            log.error("backbone %s lacks messages that it took, of %s: it is held until it has them", self.backbone, _orgs(lost))
            await self._log.turn(gate, HELD)
            return 0.0
        await self._repair.written()
        for marked in lost:
            before = self.repaired
            async for messages in self._repair.missing(marked.org, self._publishing.now()):
                made = await self._publishing.lost(marked.org, messages)
                if not self._noted(made):
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
