"""Why a message is where it is: every step of its way that was written down, in order (contracts.md, "Query")."""

from collections.abc import Iterator, Mapping

from functions.query.constraints import constraints, shadows
from functions.query.handler import Found
from functions.query.judged_by import Judged, judged
from shared.domain.message import uuid_text
from shared.domain.record import DeadLetter
from shared.domain.rules.scope import Scope
from shared.domain.stored import StoredDelivery, StoredMessage
from shared.view import delivery_view, time_text

Step = dict[str, object]


def steps(found: Found, scopes: Mapping[Judged, Scope]) -> list[Step]:
    """`{step, time, outcome, ...}` each: what happened to the rows of this id, the oldest row first, then its dead letters.

    `step` is `received`, `constraint`, `shadow`, `verdict`, `logged`, `delivery` or `dead-letter`. `record_id` says which row a step
    belongs to: refused attempts have their own, an accepted message has its message id. A step that is still to come has no `time`.
    `scopes` are the rules that rows were judged by, as far as they are known.
    """
    told = [step for row in found.rows for step in (*_decided(row, scopes), *_put_on_backbones(row, found.dead_letters))]
    return told + [_dead_letter(letter) for letter in found.dead_letters]


def _decided(row: StoredMessage, scopes: Mapping[Judged, Scope]) -> Iterator[Step]:
    message, record = row.message, {"record_id": uuid_text(row.record_id)}
    received = time_text(message.received_at)
    yield {"step": "received", "time": received, "outcome": "received", "door": message.door, "principal": message.principal, **record}
    scope = scopes.get(judged(message))
    for step in constraints(row, scope):
        yield {"step": "constraint", "time": received, **step, **record}
    for step in shadows(row, scope):
        yield {"step": "shadow", "time": received, **step, **record}
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
