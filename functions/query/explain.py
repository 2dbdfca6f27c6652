"""Why a message is where it is: every step of its way that was written down, in order (contracts.md, "Query")."""

from collections.abc import Iterator

from functions.query.handler import Found
from shared.domain.message import uuid_text
from shared.domain.record import DeadLetter
from shared.domain.stored import StoredDelivery, StoredMessage
from shared.view import delivery_view, time_text

Step = dict[str, object]

RULES = ("max_bytes", "org", "grant")  # those that every message meets, whatever the config


def steps(found: Found) -> list[Step]:
    """`{step, time, outcome, ...}` each: what happened to the rows of this id, the oldest row first, then its dead letters.

    `step` is `received`, `constraint`, `verdict`, `logged`, `delivery` or `dead-letter`. `record_id` says which row a step belongs to:
    refused attempts have their own, an accepted message has its message id. A step that is still to come has no `time`.
    """
    told = [step for row in found.rows for step in (*_decided(row), *_put_on_backbones(row, found.dead_letters))]
    return told + [_dead_letter(letter) for letter in found.dead_letters]


def _decided(row: StoredMessage) -> Iterator[Step]:
    message, record = row.message, {"record_id": uuid_text(row.record_id)}
    received = time_text(message.received_at)
    yield {"step": "received", "time": received, "outcome": "received", "door": message.door, "principal": message.principal, **record}
    for rule, outcome in _constraints(row):
        detail = {"detail": row.detail} if outcome == "blocked" else {}
        yield {"step": "constraint", "time": received, "outcome": outcome, "rule": rule, **detail, **record}
    yield {
        "step": "verdict",
        "time": received,
        "outcome": row.verdict,
        "rule": row.rule,
        "status": row.status,
        "config_revision": message.revision,
        **record,
    }
    logged: Step = {"step": "logged", "time": time_text(row.logged_at), "outcome": "conflict" if row.conflict else "logged"}
    if row.verdict == "accepted":
        logged |= {"targets": list(row.targets), "redelivered": row.redelivered}
    yield logged | record


def _constraints(row: StoredMessage) -> Iterator[tuple[str, str]]:
    """Each rule that looked at the message, up to the one that blocked it; that one may be none of the constraints, as `identity` is."""
    for rule in RULES:
        if rule == row.rule:
            break
        yield rule, "passed"
    if row.rule is not None:
        yield row.rule, row.verdict


def _put_on_backbones(row: StoredMessage, dead: tuple[DeadLetter, ...]) -> Iterator[Step]:
    """The delivery attempts, then the backbones that neither took the message nor were given up."""
    record = {"record_id": uuid_text(row.record_id)}
    for delivery in row.deliveries:
        yield _delivery(delivery) | record
    settled = {delivery.backbone for delivery in row.deliveries if delivery.error is None} | {letter.backbone for letter in dead}
    for backbone in row.targets:
        if backbone not in settled:
            yield {"step": "delivery", "time": None, "outcome": "pending", "backbone": backbone, **record}


def _delivery(delivery: StoredDelivery) -> Step:
    view = delivery_view(delivery)
    outcome = "delivered" if delivery.error is None else "refused"
    return {"step": "delivery", "time": view.pop("time"), "outcome": outcome, **view, "attempt": delivery.attempt, "by": delivery.by}


def _dead_letter(letter: DeadLetter) -> Step:
    return {
        "step": "dead-letter",
        "time": time_text(letter.time),
        "outcome": letter.reason,
        "backbone": letter.backbone or None,
        "attempts": letter.attempts,
        "record_id": uuid_text(letter.id),
    }
