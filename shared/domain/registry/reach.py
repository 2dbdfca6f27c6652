"""Which backbones an org's messages can reach: what snapshots hold of the registry, and what a route's targets mean by it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from shared.domain.registry.deciding import Registered, cluster_of
from shared.domain.registry.shapes import SHARED, Backbone, says_remotes

LOCAL, GLOBAL, CLUSTER, BACKBONE = "local", "global", "cluster:", "backbone:"


class Reach(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A backbone as a function needs to know it. `endpoint` is empty until there is one: what is for it waits. `domain` is the JetStream
    domain it must have, empty where any will do. `deleting`: nothing new goes there. `here`: it may be on loopback. `apart`: it is a leaf
    of what its own spec says, and of no hub of the registry. `keys` are the backbone's own, sealed, where it has some; `token` is what an
    edge is told in their place: its user's, of the key that it derives of its own secret (shared/trust/logins.py)."""

    id: str
    org: str
    cluster: str
    scope: str
    endpoint: str = ""
    domain: str = ""
    deleting: bool = False
    here: bool = False
    apart: bool = False
    keys: bytes = b""
    token: str = ""


def reaches(registered: Registered, keys: Mapping[str, bytes] | None = None) -> tuple[Reach, ...]:
    """The backbones of all that is declared, by id; `keys` are those that have some, sealed."""
    found = (_reach(kept.declared, registered, keys or {}) for kept in registered.values() if isinstance(kept.declared, Backbone))
    return tuple(sorted(found, key=lambda one: one.id))


def _reach(one: Backbone, registered: Registered, keys: Mapping[str, bytes]) -> Reach:
    cluster = cluster_of(one.org, one.cluster, registered)
    return Reach(
        one.id,
        one.org,
        one.cluster,
        one.scope,
        one.endpoint or "",
        one.domain or "",
        one.deleting,
        cluster is not None and cluster.provider == "local",
        says_remotes(one.spec),
        keys.get(one.id, b""),
    )


def leaves_of(hub: Reach, backbones: Iterable[Reach]) -> Iterator[Reach]:
    """The leaves of a hub, as hubs_of() says it of each of them: what is published on the hub is on their streams `sbg-<org>` too."""
    if hub.scope == GLOBAL and not hub.deleting:
        for one in backbones:
            if one.org == hub.org and one.scope != GLOBAL and not one.apart and not one.deleting:
                yield one


class Resolved(NamedTuple):
    """The ids of the backbones, in the order of the targets, and why a message doesn't go everywhere it should: a dead letter says it."""

    backbones: tuple[str, ...]
    undeliverable: str | None


class Targets:
    """What targets mean to each org, for one snapshot. `home` is the backbone of this cluster, which is called `cluster`."""

    def __init__(self, backbones: Iterable[Reach], home: str, cluster: str) -> None:
        self._home = home
        self._own_cluster = CLUSTER + cluster
        self._known = _index(backbones)
        self._resolved: dict[tuple[str, tuple[str, ...]], Resolved] = {}

    def of(self, org: str, target: str) -> tuple[str, ...]:
        """The backbones a target stands for: the org's own where it has any, else the shared ones; none where it stands for nothing."""
        if target == LOCAL:
            return (self._home,)
        found = self._known.get((org, target)) or self._known.get((SHARED, target))
        if found is None and target == self._own_cluster:
            return (self._home,)
        return found or ()

    def resolve(self, org: str, targets: tuple[str, ...]) -> Resolved:
        """Where a message for these targets goes; each backbone once."""
        found = self._resolved.get((org, targets))
        if found is None:
            found = self._resolved[org, targets] = self._resolve(org, targets)
        return found

    def _resolve(self, org: str, targets: tuple[str, ...]) -> Resolved:
        each = {target: self.of(org, target) for target in targets}
        backbones = tuple(dict.fromkeys(id for ids in each.values() for id in ids))
        missing = [target for target, ids in each.items() if not ids]
        if missing and backbones:
            return Resolved(backbones, f"no-route: {', '.join(missing)}")
        return Resolved(backbones, None if backbones else "no-route")


def _index(backbones: Iterable[Reach]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """The backbones by org and target."""
    known: dict[tuple[str, str], list[str]] = {}
    for one in backbones:
        if one.deleting:
            continue
        kind = GLOBAL if one.scope == GLOBAL else CLUSTER + one.cluster
        for target in (BACKBONE + one.id, kind):
            known.setdefault((one.org, target), []).append(one.id)
    return {place: tuple(ids) for place, ids in known.items()}
