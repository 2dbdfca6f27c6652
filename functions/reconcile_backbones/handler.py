"""One look at one backbone: what is declared against what there is, what has to be done about it, and what is told of it.

Level-triggered: nothing is remembered but what the registry has, so that any replica goes on where another one stopped.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from functions.reconcile_backbones.told import WAITS_FOR, Told, conditions, happened, is_news
from shared.domain.registry.deciding import Change, Kept, Registered, cluster_of
from shared.domain.registry.deploying import Deployment, Ensured, Found, Trust, Undeployed, deployment_of, domain_of
from shared.domain.registry.endpoints import check_endpoint
from shared.domain.registry.login import Login
from shared.domain.registry.reach import Reach
from shared.domain.registry.shapes import Backbone, Cluster, Status, path_of
from shared.domain.registry.spec import Chart
from shared.domain.registry.streams import streams_of
from shared.domain.retention import Retention
from shared.ports import BackboneStreams, Provider, Registry, Trusts
from shared.ports.deploying import Seen

AUTHOR = "reconcile-backbones"
OWN = "switchboard"  # as whom Switchboard's processes sign in


class World(NamedTuple):
    """What a look goes by: all that is declared, the orgs there are, and how long they keep messages."""

    registered: Registered
    orgs: tuple[str, ...]
    retention: Retention


class Tools(NamedTuple):
    """What a look is done with. `providers` by the name that clusters call them."""

    registry: Registry
    providers: Mapping[str, Provider]
    streams: BackboneStreams
    chart: Chart
    trusts: Trusts | None = None


class Looked(NamedTuple):
    """`settled`: it is as it is declared. `failed`: something stands in the way, and is tried again later and later. `gone`: it is
    forgotten. `status` is what was told."""

    settled: bool = True
    failed: bool = False
    gone: bool = False
    status: Status | None = None


async def look_after(kept: Kept, world: World, tools: Tools, now: str) -> Looked:
    """Make a backbone what it is declared to be, and tell how it is. `now` is RFC 3339. Raises Unavailable; Stale where it was changed
    meanwhile."""
    backbone = _backbone(kept)
    if kept.status is None:  # what nobody has reported of is forgotten at once: so it is reported before anything is made for it
        taken_up = await _tell(tools, kept, Told("Unknown", "TakenUp", "it has just been taken up"), now)
        if taken_up is None:
            return Looked(gone=True)
        kept = kept._replace(status=taken_up)
    try:
        told = await _ensured(backbone, world, tools)
    except Undeployed as why:
        told = Told("False", why.reason, why.message, failed=True, drift=why.drift)
    await _declare_endpoint(kept, told.found, tools)  # first: what is told to be ready has its endpoint
    status = await _tell(tools, kept, told, now)
    if status is None:
        return Looked(gone=True)
    return Looked(told.ready == "True", told.failed, status=status)


async def take_away(kept: Kept, world: World, tools: Tools, now: str) -> Looked:
    """Take away what was installed for a backbone that is to go, and forget it when nothing is left. Raises Unavailable, Stale."""
    backbone = _backbone(kept)
    await tools.streams.let_go(backbone.id)
    try:
        cluster = cluster_of(backbone.org, backbone.cluster, world.registered)
        if cluster is None:
            raise Undeployed("NoCluster", f"there is no cluster {backbone.cluster} any more")
        if not _is_elsewhere(backbone, cluster):
            # Its values don't count any more: what was installed under its id goes, whatever it is declared to be.
            left = not await _provider(tools, cluster).remove(Deployment(backbone.id, cluster, backbone.spec, {}))
            if left:
                status = await _tell(tools, kept, Told("False", "Removing", "it is being taken away"), now)
                return Looked(settled=False, status=status)
    except Undeployed as why:
        status = await _tell(tools, kept, Told("False", why.reason, f"it can't be taken away: {why.message}", failed=True), now)
        return Looked(settled=False, failed=True, status=status)
    change = Change("backbone.forget", backbone, kept.revision, remove=True, forget=True, message="nothing is left of it")
    await tools.registry.write(change, AUTHOR)
    if tools.trusts is not None:
        tools.trusts.forget(backbone.id)
    return Looked(gone=True)


async def tell_fault(kept: Kept, tools: Tools, now: str) -> Looked:
    """Tell that a look failed for a reason that is ours: who looks at the backbone should not be left with what was so before."""
    told = Told("False", "Fault", "the reconciler failed at it, and its log says why; it tries again", failed=True)
    return Looked(settled=False, failed=True, gone=await _tell(tools, kept, told, now) is None)


async def _ensured(backbone: Backbone, world: World, tools: Tools) -> Told:
    """It is made as it is declared; how it is then. Raises Undeployed."""
    deployment = await _trusted(deployment_of(backbone, world.registered, tools.chart), tools.trusts)
    cluster = deployment.cluster
    if _is_elsewhere(backbone, cluster):
        seen = await _streams(backbone, backbone.endpoint, deployment, world, tools)
        return conditions(backbone, deployment, Ensured(False), None, seen)
    provider = _provider(tools, cluster)
    ensured = await provider.ensure(deployment)
    found = _checked(await provider.look(deployment), cluster)
    endpoint = found.endpoint if backbone.found or backbone.endpoint is None else backbone.endpoint
    seen = await _streams(backbone, endpoint, deployment, world, tools)
    return conditions(backbone, deployment, ensured, found, seen)


async def _trusted(deployment: Deployment, trusts: Trusts | None) -> Deployment:
    """With the keys of it and its hubs. Raises Undeployed where they can't be opened."""
    if trusts is None:
        return deployment
    server = await trusts.server(deployment.id)
    hubs = {hub.id: login for hub in deployment.hubs if (login := await trusts.login(hub.id, deployment.id)) is not None}
    own = await trusts.login(deployment.id, OWN) or Login()
    return deployment._replace(trust=Trust(server, own, hubs))


async def _streams(backbone: Backbone, endpoint: str | None, deployment: Deployment, world: World, tools: Tools) -> Seen:
    if endpoint is None:
        return Seen(refused=WAITS_FOR)
    here = deployment.cluster.provider == "local"
    domain = backbone.domain or "" if _is_elsewhere(backbone, deployment.cluster) else domain_of(backbone)
    reach = Reach(backbone.id, backbone.org, backbone.cluster, backbone.scope, endpoint, domain, here=here)
    wanted = tuple(streams_of(backbone, deployment.hubs, world.orgs, world.retention))
    return await tools.streams.ensure(reach, wanted, deployment.trust.login)


async def _declare_endpoint(kept: Kept, found: Found | None, tools: Tools) -> None:
    """What was found is the endpoint that doors go by, unless somebody declared one. It is no change of what is deployed."""
    backbone = _backbone(kept)
    if found is None or found.endpoint is None or not (backbone.found or backbone.endpoint is None):
        return
    declared = msgspec.structs.replace(backbone, endpoint=found.endpoint, found=True)
    if declared == backbone:  # nearly always: a change, even one that changes nothing, takes the lock of all of them
        return
    await tools.registry.write(Change("backbone.endpoint", declared, kept.revision, message=f"it is at {found.endpoint}"), AUTHOR)


async def _tell(tools: Tools, kept: Kept, told: Told, now: str) -> Status | None:
    """Report it, where it is news; the status that is kept then. None: it isn't declared any more."""
    backbone, before = _backbone(kept), kept.status
    status = told.status(backbone, before or Status(), now)
    if before is not None and not is_news(before, status):
        return before
    events = happened(before or Status(), status, told, AUTHOR)
    return status if await tools.registry.report(backbone.org, path_of(backbone), status, events) else None


def _checked(found: Found, cluster: Cluster) -> Found:
    """What was found, without an endpoint that no backbone may have."""
    if found.endpoint is None:
        return found
    try:
        return found._replace(endpoint=check_endpoint(found.endpoint, local=cluster.provider == "local"))
    except ValueError as error:
        return found._replace(endpoint=None, problem=f"it says it is at an address that no backbone may have: {error}")


def _is_elsewhere(backbone: Backbone, cluster: Cluster) -> bool:
    """Whether a server of this machine is somebody else's: its endpoint was declared, and not found by us."""
    return cluster.provider == "local" and backbone.endpoint is not None and not backbone.found


def _provider(tools: Tools, cluster: Cluster) -> Provider:
    provider = tools.providers.get(cluster.provider)
    if provider is None:
        raise Undeployed("NoProvider", f"this reconciler doesn't look after clusters of the provider {cluster.provider}")
    return provider


def _backbone(kept: Kept) -> Backbone:
    assert isinstance(kept.declared, Backbone)
    return kept.declared
