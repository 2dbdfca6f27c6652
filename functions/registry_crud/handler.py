"""Backbones: declared, changed, removed, read. What isn't changed by a write makes no revision."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from functions.registry_crud.access import READ, WRITE, check_changes, check_may, owner, seen_orgs
from shared.domain.authority import author
from shared.domain.errors import Fault, Forbidden, NotFound, NotProcessable, Unavailable
from shared.domain.principal import Principal
from shared.domain.registry.deciding import Change, Kept, Place, Written, cluster_of
from shared.domain.registry.endpoints import check_endpoint
from shared.domain.registry.reading import BackboneBody, read_body, refused
from shared.domain.registry.shapes import SHARED, Backbone, Cluster, Event
from shared.domain.registry.spec import Chart, spec_faults, values_faults
from shared.domain.revisions import Guard, Stale
from shared.ports import Registry

MakeKeys = Callable[[str], Awaitable[bool]]

TRIES = 20  # of a write that others come before
STORAGE = "/spec/jetstream/storage"
STAYS = ("org", "cluster", "name", "scope")  # of a backbone, for as long as there is one


async def list_backbones(registry: Registry, caller: Principal, org: str | None, cluster: str | None = None) -> list[Kept]:
    """The org's backbones and the shared ones, by id; those in a cluster. Raises Forbidden."""
    found = [kept for kept in (await registry.registered(seen_orgs(caller, org))).values() if isinstance(kept.declared, Backbone)]
    kept = [one for one in found if cluster is None or _backbone(one).cluster == cluster]
    return sorted(kept, key=lambda one: _backbone(one).id)


async def read_backbone(registry: Registry, caller: Principal, id: str) -> Kept:
    """One backbone. Raises NotFound, for another org's too; Forbidden."""
    check_may(caller, READ)
    found = await registry.registered(None if caller.system else (caller.org, SHARED), f"backbones/{id}")
    if not found:
        raise NotFound(f"there is no backbone {id[:100]}")
    return next(iter(found.values()))


async def add_backbone(
    registry: Registry, chart: Chart, caller: Principal, value: Any, reason: str, make_keys: MakeKeys | None = None
) -> Written:
    """Declare a new one, under an id that nothing ever had, with keys of its own where it is to have some.

    Raises Forbidden; NotProcessable with a pointer to every fault.
    """
    check_may(caller, WRITE)
    body = read_body(value, BackboneBody)
    org = owner(caller, body.org)
    registered = await registry.registered((org, SHARED))
    backbone = _declared(f"{body.name}-{secrets.token_hex(4)}", org, body)
    backbone = _checked(backbone, chart, caller, registered)
    if make_keys is not None and _has_keys(backbone, registered):
        await make_keys(backbone.id)  # before it is declared: a reconciler that finds none takes it for one that never has any
    return await registry.write(Change("backbone.add", backbone, 0), author(caller, org), reason)


async def update_backbone(registry: Registry, chart: Chart, caller: Principal, id: str, value: Any, guard: Guard, reason: str) -> Written:
    """Make a backbone what `value` says; what it stays may be left out. Raises NotFound, Forbidden, Stale, NotProcessable."""
    check_may(caller, WRITE)
    for _ in range(TRIES):
        found = await read_backbone(registry, caller, id)
        before = _backbone(found)
        check_changes(caller, before.org)
        guard.check(f"the backbone {id}", found.revision)
        body = read_body(_filled(value, before), BackboneBody)
        wanted = _with_found(_declared(id, before.org, body), before)
        _check_stays(wanted, before, body)
        registered = await registry.registered((before.org, SHARED))
        wanted = _checked(wanted, chart, caller, registered)
        _check_kept(wanted, found, before, registered)
        wanted = msgspec.structs.replace(wanted, generation=_generation(wanted, before), deleting=before.deleting)
        try:
            return await registry.write(Change("backbone.update", wanted, found.revision), author(caller, before.org), reason)
        except Stale:
            continue
    raise Unavailable(f"{id} is changed all the time; try again", retry_after_ms=1000)


async def remove_backbone(registry: Registry, caller: Principal, id: str, guard: Guard, reason: str) -> Written:
    """Mark it as one that takes nothing new and is to go; `kept` is None where nothing was installed for it, and it is gone.

    Raises NotFound, Forbidden, Stale.
    """
    check_may(caller, WRITE)
    for _ in range(TRIES):
        found = await read_backbone(registry, caller, id)
        backbone = _backbone(found)
        check_changes(caller, backbone.org)
        guard.check(f"the backbone {id}", found.revision)
        change = Change("backbone.remove", backbone, found.revision, remove=True)
        try:
            return await registry.write(change, author(caller, backbone.org), reason)
        except Stale:
            continue
    raise Unavailable(f"{id} is changed all the time; try again", retry_after_ms=1000)


async def abandon_backbone(registry: Registry, caller: Principal, id: str, guard: Guard, reason: str) -> Written:
    """Forget one that can't be taken away, for its cluster is gone for good, say; whatever is left of it stays where it is.

    Raises NotFound, Forbidden, Stale; NotProcessable where nobody has asked for its deletion yet.
    """
    found = await read_backbone(registry, caller, id)
    backbone = _backbone(found)
    check_changes(caller, backbone.org)
    guard.check(f"the backbone {id}", found.revision)
    if not backbone.deleting:
        raise NotProcessable(f"{id} isn't being deleted: that comes first, without `abandon`", rule="registry")
    cluster = cluster_of(backbone.org, backbone.cluster, await registry.registered((backbone.org, SHARED)))
    if cluster is not None and _is_guest(cluster, caller):
        raise Forbidden("what is left in a shared cluster is for system admins to leave there")
    message = f"given up: what is left of it stays in the cluster {backbone.cluster}"
    change = Change("backbone.abandon", backbone, found.revision, remove=True, forget=True, message=message)
    return await registry.write(change, author(caller, backbone.org), reason)


async def list_events(registry: Registry, caller: Principal, id: str, limit: int, before: int | None) -> tuple[list[Event], int | None]:
    """A page of what happened to a backbone, newest first, and where the next begins; of one that is gone, too. Raises NotFound."""
    check_may(caller, READ)
    try:
        orgs = [_backbone(await read_backbone(registry, caller, id)).org]
    except NotFound:
        orgs = [caller.org, SHARED]
    for org in orgs:
        found = await registry.events(org, f"backbones/{id}", limit + 1, before)
        if found:
            return found[:limit], found[limit - 1].number if len(found) > limit else None
    if before is not None:
        return [], None
    raise NotFound(f"there is no backbone {id[:100]}")


def _has_keys(backbone: Backbone, registered: Mapping[Place, Kept]) -> bool:
    """Whether its servers are to let in users with tokens alone: where they are ours, and nobody said who may come in."""
    cluster = cluster_of(backbone.org, backbone.cluster, registered)
    if cluster is None:
        return False
    if cluster.provider == "local":
        return backbone.endpoint is None
    auth = backbone.spec.values.get("auth")
    return not (isinstance(auth, dict) and auth.get("secret"))


def _backbone(kept: Kept) -> Backbone:
    assert isinstance(kept.declared, Backbone)
    return kept.declared


def _declared(id: str, org: str, body: BackboneBody) -> Backbone:
    return Backbone(id, org, body.cluster, body.name, body.scope, body.endpoint, body.domain, body.spec, body.metadata)


def _with_found(wanted: Backbone, before: Backbone) -> Backbone:
    """With the endpoint that was found, where no other is declared."""
    keeps = before.found and wanted.endpoint in (None, before.endpoint)
    return msgspec.structs.replace(wanted, endpoint=before.endpoint, found=True) if keeps else wanted


def _filled(value: Any, before: Backbone) -> Any:
    """The value with what stays, where it doesn't say that."""
    return {name: getattr(before, name) for name in STAYS if name != "org"} | value if isinstance(value, dict) else value


def _check_kept(wanted: Backbone, found: Kept, before: Backbone, registered: Mapping[Place, Kept]) -> None:
    """Streams stay in the storage they were made in, and Kubernetes changes no StatefulSet's volumes: what was taken up keeps both."""
    if found.status is None:
        return
    cluster = cluster_of(before.org, before.cluster, registered)
    helm = cluster is not None and cluster.provider == "helm"
    was, now = _volume(before), _volume(wanted)
    other = [pointer for pointer, value in was.items() if now[pointer] != value and (helm or pointer == STORAGE)]
    if other:
        raise refused(
            [Fault(other[0], f"it stays {was[other[0]] or 'as it is'}: what is kept there can't be moved; make another backbone")]
        )


def _volume(backbone: Backbone) -> dict[str, Any]:
    jetstream, said = backbone.spec.jetstream, backbone.spec.values.get("jetstream")
    kind = said.get("storageClass", "") if isinstance(said, dict) else ""
    size = jetstream.size if jetstream.storage == "file" else ""
    return {STORAGE: jetstream.storage, "/spec/jetstream/size": size, "/spec/values/jetstream/storageClass": kind}


def _check_stays(wanted: Backbone, before: Backbone, body: BackboneBody) -> None:
    faults = [Fault(f"/{name}", f"it stays {getattr(before, name)}") for name in STAYS if getattr(wanted, name) != getattr(before, name)]
    if body.org is not msgspec.UNSET and (body.org or SHARED) != before.org:
        faults.append(Fault("/org", "it stays whose it is"))
    if faults:
        raise refused(faults)


def _checked(backbone: Backbone, chart: Chart, caller: Principal, registered: Mapping[Place, Kept]) -> Backbone:
    """The backbone, with its endpoint's ports said. Raises NotProcessable with a pointer to every fault."""
    cluster = cluster_of(backbone.org, backbone.cluster, registered)
    if cluster is None:
        shared = "shared " if backbone.org == SHARED else ""
        raise refused([Fault("/cluster", f"there is no {shared}cluster {backbone.cluster}")])
    local = cluster.provider == "local"
    faults = spec_faults(backbone.spec, chart, local=local)
    if backbone.spec.values and _is_guest(cluster, caller):
        faults.append(Fault("/spec/values", "in a shared cluster: for system admins"))
    endpoint = backbone.endpoint
    if backbone.domain is not None and not (local and endpoint):  # where the servers are somebody else's, it is what they say it is
        faults += [Fault("/domain", fault.detail) for fault in values_faults({"jetstream": {"domain": backbone.domain}}, chart)]
    if endpoint is not None:
        try:
            endpoint = check_endpoint(endpoint, local=local)
        except ValueError as error:
            faults.append(Fault("/endpoint", str(error)))
    if faults:
        raise refused(faults)
    return msgspec.structs.replace(backbone, endpoint=endpoint)


def _is_guest(cluster: Cluster, caller: Principal) -> bool:
    """Whether the cluster is somebody else's: images, priorities and policies in it are theirs to say."""
    return cluster.org == SHARED and not caller.system


def _generation(wanted: Backbone, before: Backbone) -> int:
    """One more where what is deployed changed; metadata are about it only."""
    same = (wanted.spec, wanted.endpoint, wanted.domain) == (before.spec, before.endpoint, before.domain)
    return before.generation + (not same)
