"""Brokered: the verdict on a message that was logged as received, resolved and logged before anybody is told.

The stage and the logger's relay both call this, at once and again: the first verdict of a record that gets into the log is its verdict.
"""

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Protocol

import msgspec

from functions.check_constraints.handler import by_name, give_back
from functions.check_constraints.telling import tell
from shared.compiling import Compiling
from shared.domain.errors import NotProcessable, SwitchboardError, Unavailable
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.received import Kept, Received, Ruling, Settled
from shared.domain.record import Accepted, Attempt
from shared.domain.refused import refused
from shared.domain.routing import resolve
from shared.domain.rules.limits import Limits
from shared.domain.same import conflicting, same_event
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Shadow, Verdict, blocked_by, shadows_of, targets_of
from shared.ports import Receipts, ReceivedLog


class Snapshots(Protocol):
    """The config, at the revisions that doors stamp."""

    @property
    def current(self) -> Snapshot: ...

    async def at(self, revision: int) -> Snapshot: ...


class Bodies(Protocol):
    """Where a first copy is found once its flush has left the log."""

    async def bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]: ...


class Judge:
    """Gives received messages their verdicts. `limits` are the process's buckets; `receipts` are where senders want to be told."""

    def __init__(
        self, log: ReceivedLog, store: Bodies, snapshots: Snapshots, limits: Callable[[], Awaitable[Limits]], receipts: Receipts
    ) -> None:
        self._log, self._store, self._snapshots, self._limits, self._receipts = log, store, snapshots, limits, receipts
        self._compiling = Compiling()

    async def __call__(self, received: Received, *, now: bool = False) -> Settled:
        """The verdict of a record, logged and told: `new`, `kept` or `duplicate`; or `gone`.

        `now`: judge by the config in force where the one it was received under isn't to be had any more. Raises Unavailable: ask again,
        and where the verdict was logged already it is told then.
        """
        message = received.message
        try:
            snapshot = await self._snapshots.at(message.revision)
        except Unavailable:
            if not now:
                raise
            snapshot = self._snapshots.current
            message = msgspec.structs.replace(message, revision=snapshot.revision)
        await self._compiling.ready(snapshot.rules, [message])
        limits, principal = await self._limits(), snapshot.sender(message.org, message.principal, received.grants)
        verdict = by_name(message, principal, snapshot, limits, monotonic())
        settled = await self._log.settle(ruling(received.record_id, message, verdict, principal, snapshot))
        if settled.outcome == "conflict":
            settled = await self._settle_conflict(received.record_id, message, settled, shadows_of(verdict))
        if settled.outcome != "new" and principal is not None and blocked_by(verdict) is None:
            give_back([message], principal, snapshot, limits)
        await tell(received, settled, self._receipts)
        return settled

    async def _settle_conflict(self, record_id: bytes, message: Message, conflict: Settled, shadows: tuple[Shadow, ...]) -> Settled:
        """As the pipeline does it: the same event where only the JSON's spelling differs, else a refusal."""
        assert conflict.entry is not None
        stored = (message.id, None)
        first = await self._log.first(conflict.entry) or (await self._store.bodies([stored])).get(stored)
        if first is None:
            raise Unavailable("the first event of this identity can't be read now: retry with the same id", retry_after_ms=1000)
        if same_event(first, message):
            assert conflict.kept is not None
            settled = await self._log.settle(Ruling(record_id, message, conflict.kept, None))
            return msgspec.structs.replace(settled, outcome="duplicate") if settled.outcome == "new" else settled
        return await self._log.settle(_refusal(record_id, message, conflicting(message), shadows))


def ruling(record_id: bytes, message: Message, verdict: Verdict, principal: Principal | None, snapshot: Snapshot) -> Ruling:
    """The verdict as the log takes it: where an accepted message goes is part of it."""
    blocked, shadows = blocked_by(verdict), shadows_of(verdict)
    if blocked is not None or principal is None:
        return _refusal(record_id, message, blocked or NotProcessable("nobody sent it"), shadows)
    targets, undeliverable = resolve(message, principal, snapshot, targets_of(verdict))
    kept = Kept(message.revision, targets, undeliverable, shadows)
    return Ruling(record_id, message, kept, Accepted(message, targets, undeliverable, False, shadows))


def _refusal(record_id: bytes, message: Message, error: SwitchboardError, shadows: tuple[Shadow, ...]) -> Ruling:
    record = Attempt(record_id, message, False, error.status, error.rule or error.kind, error.detail, shadows)
    return Ruling(record_id, message, Kept(message.revision, (), None, shadows, refused(error)), record)
