"""What a sender is told: receipts, and problems as RFC 9457 has them (contracts.md, "Events in")."""

from collections.abc import Sequence

import msgspec

from shared.domain.errors import Fault, Malformed, SwitchboardError, Unavailable
from shared.domain.in_a_row import ReceiptsInARow
from shared.domain.message import Message, uuid_text
from shared.domain.verdict import Delivery, Outcome, Receipt, Refusal
from shared.speedups import core

_encode = msgspec.json.Encoder().encode

if core is not None:
    core.bind_receipts(Message, Receipt, Delivery)


class _Receipt(msgspec.Struct, gc=False):
    """The JSON of an accepted message, in the order of the contract."""

    id: str
    status: str
    duplicate: bool
    org: str
    topic: str
    subject: str | None
    config_revision: int
    deliveries: tuple[Delivery, ...]


class _Problem(msgspec.Struct, omit_defaults=True):
    """application/problem+json, with Switchboard's members."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    rule: str | None = None
    config_revision: int = 0
    errors: tuple[dict[str, str], ...] = ()
    retry_after_ms: int | None = None


class _Refused(msgspec.Struct):
    """The JSON of a refused item of a batch."""

    id: str | None
    status: str
    problem: _Problem


class _Receipts(msgspec.Struct):
    receipts: list[_Receipt | _Refused]


def encode_receipt(outcome: Outcome) -> bytes:
    """The JSON of one outcome: the body of a 202, or an item of a batch's answer."""
    made: bytes | None = None if core is None else core.receipt(outcome)
    if made is not None:
        return made
    return _encode(_item(outcome))


def encode_receipts(outcomes: Sequence[Outcome]) -> bytes:
    """The JSON of a batch's answer, in the order given."""
    made: bytes | None = None
    if core is not None and isinstance(outcomes, ReceiptsInARow) and outcomes.stored.sequences.step == 1:
        stored = outcomes.stored
        made = core.stored_receipts(outcomes.messages, stored.backbone, stored.stream, stored.sequences.start)
    elif core is not None:
        made = core.receipts(outcomes)
    if made is not None:
        return made
    return _encode(_Receipts([_item(outcome) for outcome in outcomes]))


def encode_each(receipts: ReceiptsInARow) -> list[bytes]:
    """encode_receipt() of each of them."""
    stored, made = receipts.stored, None
    if core is not None and stored.sequences.step == 1:
        made = core.each_stored_receipt(receipts.messages, stored.backbone, stored.stream, stored.sequences.start)
    return [encode_receipt(receipt) for receipt in receipts] if made is None else made


def encode_problem(refusal: Refusal | SwitchboardError, instance: str | None = None) -> bytes:
    """A refusal or any other error as application/problem+json; the HTTP status is the error's.

    `instance` is `/v1/messages/<id>` for a refusal that was recorded; another resource's path may be given for other errors.
    """
    if isinstance(refusal, SwitchboardError):
        refusal = Refusal(refusal)
    return _encode(_problem(refusal, instance))


def _item(outcome: Outcome) -> _Receipt | _Refused:
    if isinstance(outcome, Refusal):
        return _Refused(None if outcome.id is None else uuid_text(outcome.id), _status(outcome.error), _problem(outcome, None))
    message = outcome.message
    return _Receipt(
        uuid_text(message.id),
        outcome.status,
        outcome.duplicate,
        message.org,
        message.topic,
        message.subject,
        outcome.revision,
        outcome.deliveries,
    )


def _status(error: SwitchboardError) -> str:
    if isinstance(error, Malformed):
        return "malformed"
    return "unavailable" if isinstance(error, Unavailable) or error.status >= 500 else "blocked"


def _problem(refusal: Refusal, instance: str | None) -> _Problem:
    error = refusal.error
    if instance is None and refusal.recorded and refusal.id is not None:
        instance = f"/v1/messages/{uuid_text(refusal.id)}"
    return _Problem(
        type=f"urn:switchboard:problem:{error.kind}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=instance,
        rule=error.rule,
        config_revision=refusal.revision,
        errors=tuple(_fault(fault) for fault in error.faults or _of_all(refusal)),
        retry_after_ms=error.retry_after_ms,
    )


def _of_all(refusal: Refusal) -> Sequence[Fault]:
    """A rule that blocked the message for no field of its own: the pointer is the whole event's. Policies and limits do."""
    error = refusal.error
    return (Fault("", error.detail),) if refusal.revision and error.rule is not None and error.status < 500 else ()


def _fault(fault: Fault) -> dict[str, str]:
    return {"pointer": fault.pointer, "detail": fault.detail}
