"""From what is declared to what is to be installed: the chart's values of a backbone, the hubs it is a leaf of among them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from shared.domain.errors import Fault
from shared.domain.registry.deciding import Declared, Registered, cluster_of
from shared.domain.registry.login import Login
from shared.domain.registry.reach import GLOBAL
from shared.domain.registry.shapes import Backbone, Cluster, Leaf, Spec, path_of, says_remotes
from shared.domain.registry.spec import Chart, spec_faults, values_faults

Json = dict[str, Any]


class Undeployed(Exception):
    """Why a backbone isn't as it should be: `reason` is one word for programs, `message` a sentence for people, without secrets; `drift`
    what somebody else changed, and could not be put back."""

    def __init__(self, reason: str, message: str, drift: str = "") -> None:
        super().__init__(message)
        self.reason, self.message, self.drift = reason, message, drift


class Hub(NamedTuple):
    """A backbone that another one is a leaf of. `urls` are those of its leaf listener, empty where the leaf can't reach it."""

    id: str
    domain: str
    urls: tuple[str, ...]


class ServerTrust(NamedTuple):
    """Whom the servers of a backbone believe: the operator's token, the accounts of `$SYS` and of all others, and both accounts' tokens.
    None of it is secret."""

    operator: str
    system_account: str
    account: str
    accounts: Mapping[str, str]


class Trust(NamedTuple):
    """A backbone in operator mode: `login` is how Switchboard's processes sign in, `hubs` how it signs in to its hubs, by their ids."""

    server: ServerTrust | None = None
    login: Login = Login()
    hubs: Mapping[str, Login] = {}


class Deployment(NamedTuple):
    """One release: it is called by the backbone's id. `values` are the chart's, where they aren't its defaults. `endpoint` and `leaf` are
    where it was found before: who is connected there isn't to be sent elsewhere without need."""

    id: str
    cluster: Cluster
    spec: Spec
    values: Json
    hubs: tuple[Hub, ...] = ()
    trust: Trust = Trust()
    endpoint: str | None = None
    leaf: Leaf | None = None


class Ensured(NamedTuple):
    """What ensure() did: `changed` where it had to do something; `drift` says what somebody else had changed, and was put back."""

    changed: bool
    drift: str = ""


class Found(NamedTuple):
    """How a deployment is: how many of its servers are up, which version they are, where clients and leaves find it; `problem` says why
    it isn't all there."""

    servers: int
    version: str | None = None
    endpoint: str | None = None
    leaf: Leaf | None = None
    problem: str = ""


def deployment_of(backbone: Backbone, registered: Registered, chart: Chart) -> Deployment:
    """What is to be installed for it. Raises Undeployed where that can't work: nothing is asked of a cluster then."""
    cluster = cluster_of(backbone.org, backbone.cluster, registered)
    if cluster is None:
        raise Undeployed("NoCluster", f"there is no cluster {backbone.cluster} any more")
    hubs = tuple(hubs_of(backbone, cluster, registered))
    values = _values(backbone, hubs)
    local = cluster.provider == "local"
    faults = [*spec_faults(backbone.spec, chart, local=local)] or [*values_faults(values, chart)]
    if faults:
        raise Undeployed("SpecRefused", _said(faults))
    kept = registered.get((backbone.org, path_of(backbone)))
    leaf = None if kept is None or kept.status is None else kept.status.leaf
    return Deployment(backbone.id, cluster, backbone.spec, values, hubs, endpoint=backbone.endpoint if backbone.found else None, leaf=leaf)


def domain_of(backbone: Backbone) -> str:
    """The JetStream domain it has: no other backbone has the same, unless somebody declares it."""
    return backbone.domain or backbone.id


def hubs_of(backbone: Backbone, cluster: Cluster, registered: Registered) -> Iterator[Hub]:
    """The hubs that a backbone of scope local is a leaf of: the global ones of the same owner. Never another's: who is joined to a hub
    can ask for all that is on it. Where the spec says remotes of its own, those are the hubs."""
    if backbone.scope == GLOBAL or says_remotes(backbone.spec):
        return
    for place in sorted(place for place, kept in registered.items() if place[0] == backbone.org and _is_hub(kept.declared)):
        kept = registered[place]
        hub = kept.declared
        assert isinstance(hub, Backbone)
        leaf = None if kept.status is None else kept.status.leaf
        yield Hub(hub.id, domain_of(hub), _urls(leaf, cluster, cluster_of(hub.org, hub.cluster, registered)))


def _is_hub(declared: Declared) -> bool:
    return isinstance(declared, Backbone) and declared.scope == GLOBAL and not declared.deleting


def _urls(leaf: Leaf | None, cluster: Cluster, hub: Cluster | None) -> tuple[str, ...]:
    """Where a backbone in `cluster` finds the listener of a hub in the cluster `hub`: this machine's loopback is of use to itself only."""
    if leaf is None or hub is None or (hub.provider == "local" and cluster.provider != "local"):
        return ()
    text = leaf.inside if hub == cluster else leaf.outside
    return tuple(text.split(",")) if text else ()


def _values(backbone: Backbone, hubs: tuple[Hub, ...]) -> Json:
    spec = backbone.spec
    leafnodes: Json = {"enabled": True} if backbone.scope == GLOBAL else {}
    remotes = [{"urls": list(hub.urls)} for hub in hubs if hub.urls]
    if remotes:
        leafnodes["remotes"] = remotes
    said = spec.values.get("leafnodes")
    if isinstance(said, dict):
        leafnodes |= said
    own: Json = msgspec.to_builtins(msgspec.structs.replace(spec, values={}))
    own.pop("values")
    own["jetstream"] = _inner(spec, "jetstream") | own["jetstream"] | {"domain": domain_of(backbone)}
    own["expose"] = _inner(spec, "expose") | own["expose"]
    return spec.values | own | ({"leafnodes": leafnodes} if leafnodes else {})


def _inner(spec: Spec, name: str) -> Json:
    said = spec.values.get(name)
    return said if isinstance(said, dict) else {}


def _said(faults: list[Fault]) -> str:
    return "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults[:3])
