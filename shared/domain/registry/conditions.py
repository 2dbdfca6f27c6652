"""How a backbone stands, in conditions that a person understands."""

from collections.abc import Iterable

from shared.domain.registry.shapes import Backbone, Condition, Status

READY, REACHABLE, DRIFTED = "Ready", "Reachable", "Drifted"


def with_conditions(known: Iterable[Condition], told: Iterable[Condition], now: str) -> tuple[Condition, ...]:
    """The conditions with those told in the place of those known; one whose status is what it was keeps the time of its last change."""
    by_type = {one.type: one for one in known}
    for one in told:
        before = by_type.get(one.type)
        since = before.last_transition if before is not None and before.status == one.status else now
        by_type[one.type] = Condition(one.type, one.status, one.reason, one.message, since)
    return tuple(by_type[type] for type in sorted(by_type))


def standing(backbone: Backbone, status: Status | None, since: str) -> Status:
    """What is told of a backbone: what was reported; where nobody has, that it waits. `since`: when it was declared so."""
    if status is not None:
        return status
    message = "it has an endpoint, and messages go there; nobody has looked after it yet" if backbone.endpoint else WAITS
    return Status(conditions=(Condition(READY, "Unknown", "NotReconciled", message, since),))


WAITS = "no reconciler has taken it up yet: messages for it wait"
