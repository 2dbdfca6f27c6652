"""Whether a change of the registry holds, given all that is declared: asked under the lock that puts changes in one order."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from shared.domain.errors import Fault, NotProcessable
from shared.domain.registry.reading import refused
from shared.domain.registry.shapes import SHARED, Backbone, Cluster, Status, path_of
from shared.domain.revisions import Stale

MAX_CLUSTERS = 200  # of an org
MAX_BACKBONES = 1_000  # of an org

Place: TypeAlias = tuple[str, str]  # org and path
Declared: TypeAlias = Cluster | Backbone


class Kept(NamedTuple):
    """What is declared, the revision that last changed it (its ETag), when that was (RFC 3339), and what was reported of it."""

    declared: Declared
    revision: int
    since: str
    status: Status | None = None


Registered: TypeAlias = Mapping[Place, Kept]


class Change(NamedTuple):
    """One change. `expected` is the revision that is there now, 0 for none. `remove`: it is to go; `forget`: at once, for nothing is left
    of it. `action` and `message` are what revision, audit and its history say."""

    action: str
    declared: Declared
    expected: int
    remove: bool = False
    forget: bool = False
    message: str = ""

    @property
    def place(self) -> Place:
        """Where it is kept."""
        return self.declared.org, path_of(self.declared)


class Written(NamedTuple):
    """What is there now, None where it is gone, and the revision that made it so; `created`, and whether anything `changed`."""

    kept: Kept | None
    revision: int
    created: bool = False
    changed: bool = True


def decide(change: Change, registered: Registered) -> Declared | None:
    """What is to be kept in the place of what is there, None where nothing is. Raises Stale, NotProcessable."""
    found = registered.get(change.place)
    if (found.revision if found else 0) != change.expected:
        raise Stale(f"{change.place[1]} is not as expected", found.revision if found else None)
    if change.remove:
        return _removed(change, found, registered)
    declared = change.declared
    if found is None:
        _check_room(declared, registered)
    if isinstance(declared, Cluster):
        _check_name(declared, registered)
    else:
        _check_backbone(declared, found, registered)
    return declared


def cluster_of(org: str, name: str, registered: Registered) -> Cluster | None:
    """The cluster an org calls so: its own or a shared one, of which there is never more than one."""
    kept = registered.get((org, f"clusters/{name}")) or registered.get((SHARED, f"clusters/{name}"))
    return kept.declared if kept is not None and isinstance(kept.declared, Cluster) else None


def _removed(change: Change, found: Kept | None, registered: Registered) -> Declared | None:
    """What no reconciler has ever reported of has nothing installed anywhere: it goes at once. The others are marked, and forgotten when
    what is left of them is taken away."""
    declared = change.declared
    if isinstance(declared, Cluster):
        used = [one for one in _backbones(registered) if cluster_of(one.org, one.cluster, registered) == declared]
        if used:
            raise NotProcessable(f"{len(used)} backbones are in the cluster {declared.name}: remove them first", rule="registry")
        return None
    if change.forget or found is None or found.status is None:
        return None
    return msgspec.structs.replace(declared, deleting=True)


def _check_room(declared: Declared, registered: Registered) -> None:
    most, what = (MAX_CLUSTERS, "clusters") if isinstance(declared, Cluster) else (MAX_BACKBONES, "backbones")
    if sum(org == declared.org and path.startswith(what) for org, path in registered) >= most:
        raise NotProcessable(f"an org has at most {most} {what}", rule="registry")


def _check_name(cluster: Cluster, registered: Registered) -> None:
    """An org's name for a cluster and a shared one's are never the same: a route says `cluster:<name>` and no more."""
    path = path_of(cluster)
    others = [org for org, other in registered if other == path and org != cluster.org]
    if SHARED in others:
        raise refused([Fault("/name", f"a shared cluster is called {cluster.name} already")])
    if cluster.org == SHARED and others:
        raise refused([Fault("/name", f"{len(others)} orgs have a cluster that is called {cluster.name}")])


def _check_backbone(backbone: Backbone, found: Kept | None, registered: Registered) -> None:
    if found is not None and isinstance(found.declared, Backbone) and found.declared.deleting:
        raise NotProcessable(f"{backbone.id} is being deleted", rule="registry")
    if cluster_of(backbone.org, backbone.cluster, registered) is None:
        shared = "shared " if backbone.org == SHARED else ""
        raise refused([Fault("/cluster", f"there is no {shared}cluster {backbone.cluster}")])
    names = (backbone.org, backbone.cluster, backbone.name)
    if any((one.org, one.cluster, one.name) == names and one.id != backbone.id for one in _backbones(registered)):
        raise refused([Fault("/name", f"a backbone of the cluster {backbone.cluster} is called {backbone.name} already")])
    for one in _backbones(registered):
        if one.id != backbone.id and one.org == backbone.org and backbone.domain == (one.domain or one.id):
            raise refused([Fault("/domain", f"{one.id} has that JetStream domain: a PubAck would not say which of the two it is from")])


def _backbones(registered: Registered) -> Iterable[Backbone]:
    return (kept.declared for kept in registered.values() if isinstance(kept.declared, Backbone))
