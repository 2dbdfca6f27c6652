"""The relay of what was received and got no verdict: a channel that loses an event costs delay, no message (architecture.md).

Any number may work at once, and beside the stages: the log keeps the first verdict of each record, so that who comes late finds it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Set
from typing import Protocol

from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.logged import Entry
from shared.domain.received import Received, Settled
from shared.pause import set_within
from shared.ports import ReceivedLog

LATE_S = 5.0  # without a verdict
LOOK_S = 1.0  # between two looks when there was nothing
LONGEST_PAUSE_S = 5.0
AT_ONCE = 100
NO_CONFIG_AFTER_S = 60.0  # then the config in force will do: the one that it came under can't be had

log = logging.getLogger(__name__)


class Rule(Protocol):
    """The check stage: the verdict of a record, logged."""

    async def __call__(self, received: Received, *, now: bool = False) -> Settled: ...


class Latecomers:
    """Runs the pipeline for what nobody else has run it for. `publish` sends entries on their way, in their order."""

    def __init__(
        self, received: ReceivedLog, rule: Rule, publish: Callable[[list[Entry]], Awaitable[object]], late_s: float = LATE_S
    ) -> None:
        self.judged = 0  # records that got their verdict here
        self._log, self._rule, self._publish, self._late_s = received, rule, publish, late_s
        self._failures = 0  # in a row

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; what is under way is finished."""
        while not stop.is_set():
            await self._step_or_note(stop)
            await set_within(stop, min(LOOK_S * 2.0**self._failures, LONGEST_PAUSE_S))

    async def step(self, stop: asyncio.Event | None = None) -> None:
        """Judge and publish what is late now, until `stop` is set. Raises what a part of it failed with: that waits, nothing behind it."""
        failure: BaseException | None = None
        skip = 0  # of what can't be judged now, or was before and is there all the same
        while not (stop and stop.is_set()) and (late := await self._log.overdue(self._late_s, AT_ONCE, skip)):
            old = await self._log.overdue(NO_CONFIG_AFTER_S, AT_ONCE, skip)
            told = await self._judge(late, {each.record_id for each in old})
            skip += sum(not isinstance(each, Settled) or each.outcome in ("kept", "gone") for each in told)
            failure = failure or next((each for each in told if isinstance(each, BaseException)), None)
        if failure is not None:
            raise failure

    async def _judge(self, late: list[Received], old: Set[bytes]) -> list[Settled | BaseException]:
        """Judge and publish these; what became of each."""
        told = await asyncio.gather(*(self._rule(each, now=each.record_id in old) for each in late), return_exceptions=True)
        settled = [each for each in told if isinstance(each, Settled)]
        entries = [each.entry for each in settled if each.outcome == "new" and each.entry is not None]
        self.judged += sum(each.outcome == "new" for each in settled)
        if entries:
            await self._publish(entries)
        return told

    async def _step_or_note(self, stop: asyncio.Event) -> None:
        try:
            await self.step(stop)
            self._failures = 0
        except Exception as error:
            self._failures += 1
            if not isinstance(error, SwitchboardError):
                log.exception("judging what is late failed, and is tried again")
            elif self._failures == 1:
                log.warning("what was received and not judged waits: %s", error.detail if isinstance(error, Unavailable) else error)
