"""What would be said of an event, without effect: nothing is counted, logged or published."""

import msgspec

from shared.codec import Context, decode_structured
from shared.domain.errors import Malformed, SwitchboardError
from shared.domain.message import uuid_text
from shared.domain.principal import Principal
from shared.domain.rules.check import Judgement, judge
from shared.domain.rules.rules import Rules


def verdict(event: bytes, context: Context, principal: Principal, rules: Rules) -> dict[str, object]:
    """`{id, status, rule, would_route_to}`; `detail` says why, `shadows` what shadow policies would have done. Rate limits aren't asked."""
    try:
        message = decode_structured(event, context)
    except Malformed as error:
        return {"id": None, "status": "malformed", "rule": None, "would_route_to": [], "detail": error.detail, "errors": _faults(error)}
    scope = rules.scope(context.org, message.topic, message.subject)
    found = judge(message, principal, scope, None, context.received_at / 1_000_000)
    said: dict[str, object] = {"id": uuid_text(message.id), **_outcome(found)}
    return said | ({"shadows": [msgspec.to_builtins(shadow) for shadow in found.shadows]} if found.shadows else {})


def _outcome(found: Judgement) -> dict[str, object]:
    if found.blocked is None:
        return {"status": "accepted", "rule": None, "would_route_to": list(found.to)}
    blocked = found.blocked
    return {"status": "blocked", "rule": blocked.rule, "would_route_to": [], "detail": blocked.detail, "errors": _faults(blocked)}


def _faults(error: SwitchboardError) -> list[dict[str, str]]:
    return [fault._asdict() for fault in error.faults]
