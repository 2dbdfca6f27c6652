"""The way of a message: check, resolve, log, publish, receipt. Every door calls submit(); nothing else decides the order."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import msgspec

from functions.check_constraints import handler as check_constraints
from functions.check_constraints import ruling
from functions.log_batch import handler as log_batch
from functions.route.handler import Route, State, first_retry
from functions.ways import Ways
from shared.compiling import Compiling
from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.in_a_row import ReceiptsInARow, StoredInARow
from shared.domain.in_flight import InFlight
from shared.domain.logged import Entry, Fresh
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.record import Accepted, Attempt
from shared.domain.routing import resolve
from shared.domain.rules.limits import Limits
from shared.domain.same import conflicting, same_event
from shared.domain.snapshot import Snapshot
from shared.domain.uuid7 import uuid7
from shared.domain.verdict import Delivery, Outcome, Receipt, Refusal, Shadow, Verdict, blocked_by, shadows_of, targets_of
from shared.ports import Backbones, LogQueue
from shared.stages.events import ACCEPTED, DELIVERED, RECEIVED, REJECTED, UNDELIVERABLE


class Step(msgspec.Struct, frozen=True):
    """A stage as a Trigger sees it: which events it takes, and which it answers with."""

    function: str
    on: str
    emits: tuple[str, ...]


STEPS = (
    Step("check-constraints", on=RECEIVED, emits=(ACCEPTED, REJECTED)),
    Step("route", on=ACCEPTED, emits=(DELIVERED, UNDELIVERABLE)),
)

Lanes = Route
Judge = ruling.Judge  # brokered, the first step: the logger's relay takes it for what the Broker lost

write_rows = log_batch.handle  # the stage behind the log queue: the logger hands it each batch


TAKEN = frozenset(("new", "duplicate"))  # what the log says of messages that are published


class Check(Protocol):
    """The check stage: a direct call, or the check-constraints Service."""

    async def __call__(self, messages: Sequence[Message], principal: Principal, snapshot: Snapshot) -> list[Verdict]: ...


class GiveBack(Protocol):
    """What the check stage took for messages that turned out to be duplicates: their rate tokens go back."""

    def __call__(self, messages: Sequence[Message], principal: Principal, snapshot: Snapshot) -> None: ...


class Sending(Protocol):
    """Entries on their way to their backbones."""

    async def deliveries(self) -> Sequence[tuple[Delivery, ...]]: ...


Sent = tuple[Sequence[Entry], Sending]  # entries, and their way


class Send(Protocol):
    """The route stage: a direct call, or the route Service. Called in log order; what is called first is published first."""

    def __call__(self, entries: Sequence[Entry]) -> Sending: ...


class Bodies(Protocol):
    """Where a first copy is found once its flush has left the log."""

    async def bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]: ...


class Pipeline(msgspec.Struct, frozen=True):
    """The stages, as wired by a door's main."""

    check: Check
    log: LogQueue
    route: Send
    state: State
    store: Bodies
    give_back: GiveBack
    ways: Ways | None = None  # where check is a direct call
    in_flight: InFlight = msgspec.field(default_factory=InFlight)
    compiling: Compiling = msgspec.field(default_factory=Compiling)

    @classmethod
    def inline(cls, log: LogQueue, backbones: Backbones, state: State, store: Bodies, limits: Limits | None = None) -> "Pipeline":
        """Every stage a direct call: the default, and the fastest. `limits` are the process's buckets, its own where none are given."""
        return cls.wired(log, backbones, state, store, Limits() if limits is None else limits)

    @classmethod
    def wired(cls, log: LogQueue, backbones: Backbones, state: State, store: Bodies, check: Limits | Check) -> "Pipeline":
        """Stages that may be calls to their Services (shared/stages): `check`, which is a direct call where it is given its buckets, and
        `backbones` where route publishes for this process.

        The lanes are the door's own either way: one group in flight a stream, in log order, and what is lost is the relay's.
        """
        give_back: GiveBack = keep
        ways: Ways | None = None
        if isinstance(check, Limits):
            limits = check
            check, give_back = partial(check_constraints.handle, limits=limits), partial(check_constraints.give_back, limits=limits)
            ways = Ways()
        return cls(check, log, lanes(log, backbones, state).handle, state, store, give_back, ways)

    async def submit(self, messages: Sequence[Message], principal: Principal) -> Sequence[Outcome]:
        """Judge, write down, deliver: an outcome for each message of one principal, in order.

        Returns when every message is durable or refused. One whose outcome is unknown is refused as Unavailable: retry with the same id.
        """
        snapshot = self.state.current
        if self.ways is not None and self.compiling.idle:
            records = self.ways.accepted(messages, principal, snapshot)
            if records:  # nearly always
                return await self._accept(records)
        if not (self.compiling.idle and snapshot.rules.knows(messages)):
            await self.compiling.ready(snapshot.rules, messages)
        entered = self.in_flight.enter(messages, snapshot)
        if entered is None:  # nearly always
            return await self._judge(messages, principal, snapshot)
        try:
            within = [message for message, refused in zip(messages, entered, strict=True) if refused is None]
            outcomes = iter(await self._judge(within, principal, snapshot) if within else ())
            return [
                next(outcomes) if refused is None else Refusal(refused, message.id, snapshot.revision)
                for message, refused in zip(messages, entered, strict=True)
            ]
        finally:
            self.in_flight.leave(messages, entered, snapshot)

    async def _judge(self, messages: Sequence[Message], principal: Principal, snapshot: Snapshot) -> Sequence[Outcome]:
        verdicts = await self.check(messages, principal, snapshot)
        records = [
            _accepted(message, verdict, principal, snapshot)
            for message, verdict in zip(messages, verdicts, strict=True)
            if verdict is None or blocked_by(verdict) is None
        ]
        accepted = await self._accept(records) if records else []
        if not isinstance(accepted, ReceiptsInARow):
            repeated = [one.message for one in accepted if type(one) is Receipt and one.duplicate]
            if repeated:
                self.give_back(repeated, principal, snapshot)
        if len(accepted) == len(messages):
            return accepted
        errors = list(map(blocked_by, verdicts))
        blocked = [
            (message, error, shadows_of(verdict))
            for message, error, verdict in zip(messages, errors, verdicts, strict=True)
            if error is not None
        ]
        refused = iter(await self._refuse(blocked, snapshot.revision))
        answers = iter(accepted)
        return [next(answers) if error is None else next(refused) for error in errors]

    async def _accept(self, records: Sequence[Accepted]) -> Sequence[Outcome]:
        """Write accepted messages down; the log hands them to their lanes as soon as they are there: published is a part of logged."""
        sent: list[Sent] = []

        def publish(entries: Sequence[Entry]) -> None:
            some = self.publish(entries)
            if some is not None:
                sent.append(some)

        try:
            entries = await self.log.append(records, publish)
        except Unavailable as error:
            return unavailable(error, records)
        if len(sent) == 1 and len(sent[0][0]) == len(entries):  # nearly always
            return await receipts_of(*sent[0])
        receipts: dict[int, Outcome] = {}
        for taken, sending in sent:
            receipts.update(zip(map(id, taken), await receipts_of(taken, sending), strict=True))
        return [receipts.get(id(entry)) or await self.not_taken(entry) for entry in entries]

    def publish(self, entries: Sequence[Entry]) -> Sent | None:
        """Hand what the log took of these to its lanes. None where it took none."""
        taken = entries if isinstance(entries, Fresh) else [entry for entry in entries if entry.outcome in TAKEN]
        return (taken, self.route(taken)) if taken else None

    async def not_taken(self, entry: Entry) -> Outcome:
        """The outcome of a message that the log did not take as new, nor as a duplicate."""
        if entry.outcome == "conflict":
            return await self._settle_conflict(entry)
        why = Unavailable("the log did not answer: the outcome is unknown, retry with the same id", retry_after_ms=1000)
        if entry.outcome == "full":
            why = Unavailable("the org's share of the log is full: retry with the same id", rule="log-quota", retry_after_ms=1000)
        return Refusal(why, entry.message.id, entry.revision)

    async def _settle_conflict(self, entry: Entry) -> Outcome:
        """The same identity with another digest: the same event where only the JSON's spelling differs, else a refusal, recorded."""
        message = entry.message
        stored = (message.id, None)
        try:
            first = await self.log.first(entry) or (await self.store.bodies([stored])).get(stored)
        except Unavailable as error:
            return Refusal(error, message.id, entry.revision)
        if first is None:
            unknown = Unavailable("the first event of this identity can't be read now: retry with the same id", retry_after_ms=1000)
            return Refusal(unknown, message.id, entry.revision)
        if same_event(first, message):
            return await self._again(msgspec.structs.replace(entry, outcome="duplicate", message=first))
        return self._recorded(message, conflicting(message), entry.revision)

    async def _again(self, entry: Entry) -> Outcome:
        """Publish a duplicate again: had its first sender crashed between log and publish, this heals it."""
        return (await receipts_of([entry], self.route([entry])))[0]

    async def _refuse(self, blocked: Sequence[tuple[Message, SwitchboardError, tuple[Shadow, ...]]], revision: int) -> list[Outcome]:
        """What check refuses is looked up first: a duplicate of an accepted message keeps the first verdict."""
        try:
            seen = await self.log.seen([message for message, _, _ in blocked])
        except Unavailable as error:
            return [Refusal(error, message.id, revision) for message, _, _ in blocked]
        outcomes: list[Outcome] = []
        for (message, blocking, shadows), entry in zip(blocked, seen, strict=True):
            if entry is None:
                outcomes.append(self._recorded(message, blocking, revision, shadows))
            else:
                outcomes.append(await (self._settle_conflict(entry) if entry.outcome == "conflict" else self._again(entry)))
        return outcomes

    def _recorded(self, message: Message, error: SwitchboardError, revision: int, shadows: tuple[Shadow, ...] = ()) -> Refusal:
        attempt = Attempt(uuid7(), _stamped(message, revision), False, error.status, error.rule or error.kind, error.detail, shadows)
        (recorded,) = self.log.refuse([attempt])
        return Refusal(error, message.id, revision, recorded)


def keep(messages: Sequence[Message], principal: Principal, snapshot: Snapshot) -> None:
    """The tokens of a check Service stay taken: a duplicate costs there what a message does."""


def lanes(log: LogQueue, backbones: Backbones, state: State) -> Route:
    """The route stage as a direct call: a lane for each stream."""
    return Route(backbones, log, partial(first_retry, state))


async def receipts_of(entries: Sequence[Entry], sending: Sending) -> Sequence[Outcome]:
    """The receipts of entries that are on their way."""
    return _receipts(entries, await sending.deliveries())


def unavailable(error: Unavailable, records: Sequence[Accepted]) -> list[Outcome]:
    """The outcomes of accepted messages where the log didn't answer."""
    return [Refusal(error, record.message.id, record.message.revision) for record in records]


def _receipts(entries: Sequence[Entry], deliveries: Sequence[tuple[Delivery, ...]]) -> Sequence[Outcome]:
    if isinstance(entries, Fresh):
        if isinstance(deliveries, StoredInARow):
            return ReceiptsInARow(entries.messages, deliveries)
        return [Receipt(message, message.revision, some) for message, some in zip(entries.messages, deliveries, strict=True)]
    return [
        Receipt(entry.message, entry.revision, some, entry.outcome == "duplicate") for entry, some in zip(entries, deliveries, strict=True)
    ]


def _accepted(message: Message, verdict: Verdict, principal: Principal, snapshot: Snapshot) -> Accepted:
    """The record of a message that nothing blocks."""
    backbones, undeliverable = resolve(message, principal, snapshot, None if verdict is None else targets_of(verdict))
    if message.revision != snapshot.revision:
        message = _stamped(message, snapshot.revision)
    return Accepted(message, backbones, undeliverable, False, () if verdict is None else shadows_of(verdict))


def _stamped(message: Message, revision: int) -> Message:
    """The message with the revision it is judged under; the door has usually set it already."""
    return msgspec.structs.replace(message, revision=revision)
