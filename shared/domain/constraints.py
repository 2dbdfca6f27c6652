"""Constraints: the rules a message must pass, cheapest first. Each answers with what the sender must do, or None."""

from shared.domain.errors import Fault, Forbidden, SwitchboardError, TooLarge
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.snapshot import Snapshot


def size(message: Message, principal: Principal, snapshot: Snapshot) -> SwitchboardError | None:
    """`max_bytes`: how long the body may be."""
    if message.body is None or len(message.body) <= snapshot.max_bytes:
        return None
    detail = f"data has {len(message.body)} bytes; {snapshot.max_bytes} are allowed"
    return TooLarge(detail, rule="max_bytes", faults=[Fault("/data", detail)])


def own_org(message: Message, principal: Principal, snapshot: Snapshot) -> SwitchboardError | None:
    """`org`: an event belongs to its principal's org, and can't claim another."""
    claimed = message.extensions.get("org") if message.extensions else None
    if claimed is None or claimed == message.org:
        return None
    return Forbidden("the event names an org that isn't its principal's", rule="org", faults=[Fault("/org", "not the principal's org")])


def grants(message: Message, principal: Principal, snapshot: Snapshot) -> SwitchboardError | None:
    """`grant`: the principal may publish to that topic and subject."""
    if principal.may_touch("publish", message.topic, message.subject):
        return None
    to = "" if message.subject is None else f" to subject {message.subject!r}"
    return Forbidden(f"no grant to publish on topic {message.topic!r}{to}", rule="grant", faults=[Fault("/topic", "not granted")])


ORDER = (size, own_org, grants)
RULES = ("max_bytes", "org", "grant")  # what each of them is called in verdicts
