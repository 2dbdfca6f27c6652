"""An org's messages on their way: read, looked up where they were delivered before, and through the pipeline or to a sink."""

from collections.abc import Callable, Sequence

import msgspec

from functions.nats_source.handler import Authenticate, Read, answer, read, settle
from functions.nats_source.intake import Fate, InHand
from functions.nats_source.redelivered import known
from functions.nats_source.requests import Request
from shared.codec.receipts import encode_receipt
from shared.domain.errors import NotProcessable, SwitchboardError, Unavailable
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.replyto import REPLYTO, is_inbox
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Outcome, Receipt, Refusal
from shared.ports import FirstCopies
from shared.sources.outcomes import Rejected, Retry, Settled, Submit, Way, settled


class Ways:
    """What the intake and the requests of one org do with their groups. `current` gives the snapshot in force."""

    def __init__(
        self,
        org: str,
        current: Callable[[], Snapshot],
        authenticate: Authenticate,
        way: Way,
        submit: Submit,
        store: FirstCopies | None,
        count: Callable[[Sequence[Outcome]], None],
    ) -> None:
        """Without a `store`, which a pure event source has no business with, nothing is looked up."""
        self._org, self._current, self._authenticate = org, current, authenticate
        self._way, self._submit, self._store, self._count = way, submit, store, count
        self.unanswerable = 0  # receipts that nobody gets, since the sender named a subject that isn't the org's

    async def submitted(self, group: Sequence[InHand]) -> list[Fate]:
        """The fate of each submitted message."""
        snapshot = self._current()
        some = [self._read(one.subject, one.headers, one.payload, snapshot) for one in group]
        if self._store is None:
            some = [self._with_place(one) for one in some]
        found = await self._known(group, some) if any(one.deliveries > 1 for one in group) else {}
        rest = iter(await settle([one for place, one in enumerate(some) if place not in found], self._way))
        return [(found[place] if place in found else next(rest), self._reply_to(one)) for place, one in enumerate(some)]

    async def requested(self, group: Sequence[Request]) -> list[bytes]:
        """The receipt of each request."""
        snapshot = self._current()
        outcomes = await answer([self._read(one.subject, one.headers, one.payload, snapshot) for one in group], self._submit)
        self._count(outcomes)
        return [encode_receipt(outcome) for outcome in outcomes]

    def _read(self, subject: bytes, headers: bytes | None, payload: bytes, snapshot: Snapshot) -> Read:
        return read(subject, headers, payload, self._org, snapshot, self._authenticate)

    def _with_place(self, one: Read) -> Read:
        """For a sink: where the receipt is wanted goes along in the event, also where only a header beside it says so."""
        if not isinstance(one.event, Message) or not is_inbox(one.reply_to, self._org):
            return one
        extensions = {**(one.event.extensions or {}), REPLYTO: one.reply_to or ""}
        return msgspec.structs.replace(one, event=msgspec.structs.replace(one.event, extensions=extensions))

    def _reply_to(self, one: Read) -> str | None:
        if one.reply_to is None:
            return None
        if is_inbox(one.reply_to, self._org):
            return one.reply_to
        self.unanswerable += 1
        return None

    async def _known(self, group: Sequence[InHand], some: Sequence[Read]) -> dict[int, Settled]:
        """By place, the messages that were delivered before and of which more is known than the log would say."""
        again = [
            (place, one.event, message.stored)
            for place, (one, message) in enumerate(zip(some, group, strict=True))
            if message.deliveries > 1 and isinstance(one.event, Message)
        ]
        if not again or self._store is None:
            return {}
        messages, stored = [event for _, event, _ in again], [since for _, _, since in again]
        outcomes = await known(messages, stored, self._store)
        return {place: settled(outcome) for (place, _, _), outcome in zip(again, outcomes, strict=True) if outcome is not None}


def through(sink: Way) -> Submit:
    """A sink as requests are answered from it: what it took is `received`, and its verdict is somebody else's to give."""

    async def submit(messages: Sequence[Message], principal: Principal) -> list[Outcome]:
        taken = await sink(messages, principal)
        return [_received(message, one) for message, one in zip(messages, taken, strict=True)]

    return submit


def _received(message: Message, taken: Settled) -> Outcome:
    if isinstance(taken, Retry):
        error: SwitchboardError = Unavailable("the sink did not take it: retry with the same id", retry_after_ms=taken.after_ms)
    elif isinstance(taken, Rejected):
        error = NotProcessable(taken.reason, rule="sink")
    else:
        return Receipt(message, message.revision, (), status="received")
    return Refusal(error, message.id, message.revision)
