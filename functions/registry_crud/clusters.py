"""Clusters: declared, replaced, removed, read. What isn't changed by a write makes no revision."""

from typing import Any

import msgspec

from functions.registry_crud.access import WRITE, check_changes, check_may, owner, seen_orgs
from shared.domain.authority import author
from shared.domain.errors import Fault, NotFound, Unavailable
from shared.domain.names import ORG
from shared.domain.principal import Principal
from shared.domain.registry.access import access_faults
from shared.domain.registry.deciding import Change, Kept, Written
from shared.domain.registry.reading import ClusterBody, read_body, refused
from shared.domain.registry.shapes import SHARED, Cluster
from shared.domain.revisions import Guard, Stale
from shared.ports import Registry

TRIES = 20  # of a write that others come before


async def list_clusters(registry: Registry, caller: Principal, org: str | None) -> list[Kept]:
    """The org's clusters and the shared ones, by name. Raises Forbidden."""
    found = await registry.registered(seen_orgs(caller, org))
    return sorted((kept for kept in found.values() if isinstance(kept.declared, Cluster)), key=lambda kept: kept.declared.name)


async def read_cluster(registry: Registry, caller: Principal, org: str | None, name: str) -> Kept:
    """One cluster, the org's own or a shared one. Raises NotFound, Forbidden."""
    return _existing(await _found(registry, caller, org, name), name)


async def add_cluster(registry: Registry, caller: Principal, value: Any, reason: str) -> Written:
    """Declare a new one. Raises Forbidden; NotProcessable with a pointer to every fault, and where there is one of that name."""
    check_may(caller, WRITE)
    body = read_body(value, ClusterBody)
    cluster = _cluster(body, owner(caller, body.org))
    _check(cluster, caller)
    try:
        return await registry.write(Change("cluster.add", cluster, 0), author(caller, cluster.org), reason)
    except Stale:
        raise refused([Fault("/name", f"there is a cluster {cluster.name} already")]) from None


async def put_cluster(registry: Registry, caller: Principal, org: str | None, name: str, value: Any, guard: Guard, reason: str) -> Written:
    """Replace the cluster of that name, or declare it. Its provider stays: what was made by one the other can't take away.

    Raises Forbidden, Stale, NotProcessable.
    """
    check_may(caller, WRITE)
    for _ in range(TRIES):
        found = await _found(registry, caller, org, name)
        guard.check(f"the cluster {name}", None if found is None else found.revision)
        body = read_body({"name": name} | value if isinstance(value, dict) else value, ClusterBody)
        before = found.declared if found is not None and isinstance(found.declared, Cluster) else None
        whose = owner(caller, (org or msgspec.UNSET) if body.org is msgspec.UNSET else body.org) if before is None else before.org
        check_changes(caller, whose)
        cluster = _cluster(body, whose)
        _check_same(cluster, before, name, body.org)
        _check(cluster, caller)
        change = Change("cluster.add" if found is None else "cluster.update", cluster, 0 if found is None else found.revision)
        try:
            return await registry.write(change, author(caller, whose), reason)
        except Stale:
            continue
    raise Unavailable(f"{name} is changed all the time; try again", retry_after_ms=1000)


async def remove_cluster(registry: Registry, caller: Principal, org: str | None, name: str, guard: Guard, reason: str) -> Written:
    """Forget a cluster. Raises NotFound, Forbidden, Stale; NotProcessable while there are backbones in it."""
    check_may(caller, WRITE)
    for _ in range(TRIES):
        found = _existing(await _found(registry, caller, org, name), name)
        check_changes(caller, found.declared.org)
        guard.check(f"the cluster {name}", found.revision)
        change = Change("cluster.remove", found.declared, found.revision, remove=True)
        try:
            return await registry.write(change, author(caller, found.declared.org), reason)
        except Stale:
            continue
    raise Unavailable(f"{name} is changed all the time; try again", retry_after_ms=1000)


async def _found(registry: Registry, caller: Principal, org: str | None, name: str) -> Kept | None:
    orgs = seen_orgs(caller, org)
    if not ORG.fullmatch(name):
        return None
    found = await registry.registered(orgs, f"clusters/{name}")
    return next(iter(found.values()), None)


def _existing(found: Kept | None, name: str) -> Kept:
    if found is None:
        raise NotFound(f"there is no cluster {name[:100]}")
    return found


def _cluster(body: ClusterBody, org: str) -> Cluster:
    return Cluster(body.name, org, body.region, body.provider, body.access, body.metadata)


def _check(cluster: Cluster, caller: Principal) -> None:
    faults = list(access_faults(cluster, system=caller.system))
    if faults:
        raise refused(faults)


def _check_same(cluster: Cluster, before: Cluster | None, name: str, org: str | msgspec.UnsetType | None) -> None:
    faults = [] if cluster.name == name else [Fault("/name", f"the path says {name}")]
    if before is not None and cluster.provider != before.provider:
        faults.append(Fault("/provider", f"it stays {before.provider}: make another cluster"))
    if before is not None and org is not msgspec.UNSET and (org or SHARED) != before.org:
        faults.append(Fault("/org", "it stays whose it is"))
    if faults:
        raise refused(faults)
