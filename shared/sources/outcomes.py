"""What a source does with a message it took, once its outcome is known: done, to be tried again, or rejected."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from shared.codec import encode_receipt
from shared.domain.errors import Fault, Malformed, SwitchboardError
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.verdict import Outcome, Receipt, Refusal
from shared.edge.metrics import Counters

RETRY_MS = 1_000  # where nobody says when to come back
MAX_FAILURES = 5  # times that our own code may fail over one message, and it is tried once more
MAX_DELIVERIES = 20  # times that one may be taken without an outcome: whoever took it died
FAILED_HERE = "something failed here over it, again and again; the operator's log says what"


class Done(msgspec.Struct, frozen=True):
    """It has its verdict, whichever: it can go. `outcome` is None where a sink took it."""

    outcome: Outcome | None = None

    @property
    def receipt(self) -> bytes | None:
        """The JSON its sender may be told. Most senders don't ask, so it is made when one does."""
        return None if self.outcome is None else encode_receipt(self.outcome)


class Retry(msgspec.Struct, frozen=True):
    """Nobody knows, or nobody had room: it stays, and is tried again after that long at least."""

    after_ms: int = RETRY_MS


class Rejected(msgspec.Struct, frozen=True):
    """No retry helps. It goes to the rejected list with its bytes; `faults` name the fields at fault, `receipt` is the JSON that
    its sender may be told."""

    reason: str
    receipt: bytes | None = None
    faults: tuple[Fault, ...] = ()


Settled = Done | Retry | Rejected


Submit = Callable[[Sequence[Message], Principal], Awaitable[Sequence[Outcome]]]  # the pipeline, as functions.door has it


class Way(Protocol):
    """Where a source's messages go, the pipeline or a sink: what became of each message of one principal, in order. Raises nothing."""

    async def __call__(self, messages: Sequence[Message], principal: Principal) -> list[Settled]: ...


def inline(submit: Submit, counters: Counters) -> Way:
    """The way through the pipeline in this process."""

    async def way(messages: Sequence[Message], principal: Principal) -> list[Settled]:
        try:
            outcomes = await submit(messages, principal)
        except SwitchboardError as error:
            outcomes = [Refusal(error, message.id) for message in messages]
        counters.count(outcomes)
        return [Done(outcome) if type(outcome) is Receipt else settled(outcome) for outcome in outcomes]

    return way


def settled(outcome: Outcome) -> Settled:
    """What the pipeline's outcome means for a source: a refusal by a rule is an outcome like acceptance."""
    if isinstance(outcome, Refusal) and comes_back(outcome.error):
        return Retry(outcome.error.retry_after_ms or RETRY_MS)
    return Done(outcome)


def comes_back(error: SwitchboardError) -> bool:
    """Whether the same message may fare better later: its outcome is unknown (5xx), or this process had no room (a 429 of no rule)."""
    return error.status >= 500 or (error.status == 429 and error.rule is None)


receipt_of = encode_receipt  # what a sender is told of one event


def unreadable(error: Malformed) -> Rejected:
    """For what is no message: the reason names the field."""
    return Rejected(error.detail, encode_receipt(Refusal(error, error.identity)), error.faults)
