"""Resolve: which backbones a message goes to. Pure: registry and config in, targets out."""

from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.registry.reach import Resolved
from shared.domain.rules.check import routed
from shared.domain.snapshot import Snapshot


def resolve(message: Message, principal: Principal, snapshot: Snapshot, to: tuple[str, ...] | None = None) -> Resolved:
    """Where an accepted message goes, by the routes of its scope; `to` are its targets, where check has told them under this snapshot."""
    if to is None:
        scope = snapshot.rules.scope(message.org, message.topic, message.subject)
        to = scope.targets if scope.targets is not None else routed(message, principal, scope).to
    return snapshot.targets.resolve(message.org, to)
