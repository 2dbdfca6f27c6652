"""Brokered: messages are logged as received and handed to the Broker; what becomes of them is for the stages behind it."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from shared.domain.errors import Unavailable
from shared.domain.message import Message
from shared.domain.principal import Principal, grants_along
from shared.domain.received import Received
from shared.domain.snapshot import Snapshot
from shared.domain.uuid7 import uuid7
from shared.domain.verdict import Outcome, Receipt, Refusal
from shared.ports import ReceivedLog

RECEIVED = "received"  # the status that a sender is told


class State(Protocol):
    """The snapshot in force."""

    @property
    def current(self) -> Snapshot: ...


class Receiving:
    """In the pipeline's place. `emit` hands records on: it never waits, and never raises; what it loses is the relay's."""

    def __init__(self, log: ReceivedLog, state: State, emit: Callable[[Sequence[Received]], None]) -> None:
        self._log, self._state, self._emit = log, state, emit

    async def submit(self, messages: Sequence[Message], principal: Principal) -> list[Outcome]:
        """Write down, hand on: an outcome for each message, in order. Returns when every message is durable. Raises Unavailable.

        An event that waits already, or was accepted in the recent window, has the receipt that its first copy had.
        """
        revision = self._state.current.revision
        grants = grants_along(principal)
        records = [Received(uuid7(), msgspec.structs.replace(message, revision=revision), grants) for message in messages]
        entered = await self._log.receive(records)
        self._emit([record for record, said in zip(records, entered, strict=True) if said.outcome == "new"])
        outcomes: list[Outcome] = []
        for record, said in zip(records, entered, strict=True):
            if said.outcome == "full":
                why = Unavailable("the org's share of the log is full: retry with the same id", rule="log-quota", retry_after_ms=1000)
                outcomes.append(Refusal(why, record.message.id, revision))
            else:
                outcomes.append(Receipt(record.message, said.revision, (), said.outcome != "new", RECEIVED))
        return outcomes
