"""Resolve: which backbones a message goes to. Pure: registry and config in, targets out."""

from functools import lru_cache
from typing import NamedTuple

from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.rules.check import routed
from shared.domain.snapshot import Snapshot


class Resolved(NamedTuple):
    """The ids of the backbones, in a fixed order, and why the message doesn't go everywhere it should: a dead letter says that."""

    backbones: tuple[str, ...]
    undeliverable: str | None


def resolve(message: Message, principal: Principal, snapshot: Snapshot) -> Resolved:
    """Where an accepted message goes, by the routes of its scope."""
    scope = snapshot.rules.scope(message.org, message.topic, message.subject)
    return _resolved(scope.targets if scope.targets is not None else routed(message, principal, scope).to, snapshot.home)


@lru_cache(maxsize=1024)
def _resolved(targets: tuple[str, ...], home: str) -> Resolved:
    """`local` is the cluster's own backbone; the registry, which knows of others, is to come."""
    missing = [target for target in targets if target != "local"]
    backbones = (home,) if "local" in targets else ()
    if missing and backbones:
        return Resolved(backbones, f"no-route: {', '.join(missing)}")
    return Resolved(backbones, None if backbones else "no-route")
