"""Clusters and backbones as they are declared, and what is known of how they are.

The org `""` stands for shared: everybody's to use, system admins' to change. What is declared is kept as JSON of these structs.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

SHARED = ""  # whose a shared cluster or backbone is

# Python's `$` is also before a line break at the end: `(?!\n)` is what it isn't in the schemas of others.
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$(?!\n)")]
BackboneName = Annotated[
    str, msgspec.Meta(pattern=r"^[a-z]([a-z0-9-]{0,36}[a-z0-9])?$(?!\n)")
]  # with its id's 9 more, a Helm release's name
Domain = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$(?!\n)")]
Text = Annotated[str, msgspec.Meta(max_length=200)]
Size = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,5}(Mi|Gi|Ti)$(?!\n)")]
Provider = Literal["local", "helm"]
Scope = Literal["local", "global"]


class Eks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cluster of Amazon EKS, described and signed in to by the reconciler's own role."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$(?!\n)")]
    region: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$(?!\n)")]


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the reconciler gets at a cluster: one of these, and always a reference, never the credentials themselves."""

    kubeconfig_secret: str | None = None
    aws_secret: str | None = None
    eks: Eks | None = None
    in_cluster: bool = False


class Cluster(msgspec.Struct, frozen=True):
    """A Kubernetes cluster, or with the provider `local` this machine."""

    name: str
    org: str
    region: str
    provider: Provider
    access: Access | None
    metadata: dict[str, Any]


class JetStream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where streams are kept, and how much of it each server has."""

    storage: Literal["file", "memory"] = "file"
    size: Size = "10Gi"


class Expose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How clients come in; `host` is `host:port` where that isn't the Service."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    host: Annotated[str, msgspec.Meta(max_length=260)] = ""


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be deployed: `values` are the chart's own, for all that has no field here."""

    replicas: Literal[1, 3, 5] = 1
    jetstream: JetStream = JetStream()
    expose: Expose = Expose()
    values: dict[str, Any] = {}  # msgspec copies it


class Backbone(msgspec.Struct, frozen=True):
    """One NATS deployment. `endpoint` is its URL, None until it is declared or found; `domain` its JetStream domain, None where it isn't
    said and whatever the server says is taken. `generation` counts changes of what is deployed. `deleting`: it takes nothing new. `found`:
    the endpoint is what the reconciler found, and its to change."""

    id: str
    org: str
    cluster: str
    name: str
    scope: Scope
    endpoint: str | None
    domain: str | None
    spec: Spec
    metadata: dict[str, Any]
    generation: int = 1
    deleting: bool = False
    found: bool = False


class Condition(msgspec.Struct, frozen=True):
    """One thing that is so, isn't, or isn't known. `reason` is one word for programs, `message` a sentence for people."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    last_transition: str = ""  # RFC 3339


class Leaf(msgspec.Struct, frozen=True):
    """Where a hub takes leaves, as URLs with commas between: from its own cluster, and from others (empty where it can't be reached)."""

    inside: str = ""
    outside: str = ""


class Status(msgspec.Struct, frozen=True):
    """How something was found to be by whoever looks after it. `observed_generation` is what has been acted upon, `leaf` where a hub takes
    leaves."""

    observed_generation: int = 0
    version: str | None = None
    servers: int | None = None
    last_seen: str | None = None  # RFC 3339
    conditions: tuple[Condition, ...] = ()
    leaf: Leaf | None = None


class Event(msgspec.Struct, frozen=True):
    """One thing that happened to a cluster or backbone. `time` is microseconds since 1970; `revision` None where config stayed."""

    number: int
    time: int
    revision: int | None
    author: str
    action: str
    reason: str
    message: str


class Report(NamedTuple):
    """How the cluster or backbone at a place was found to be, and what happened to it (numbers and times are the store's)."""

    org: str
    path: str
    status: Status
    happened: Sequence[Event] = ()


def says_remotes(spec: Spec) -> bool:
    """Whether a spec has leaf remotes of its own: those are its hubs then, and not the registry's."""
    leafnodes = spec.values.get("leafnodes")
    return isinstance(leafnodes, dict) and bool(leafnodes.get("remotes"))


def path_of(declared: Cluster | Backbone) -> str:
    """The path it is kept under, and that revisions and the audit trail call it by."""
    return f"clusters/{declared.name}" if isinstance(declared, Cluster) else f"backbones/{declared.id}"


def kind_of(declared: Cluster | Backbone) -> str:
    """`cluster` or `backbone`."""
    return "cluster" if isinstance(declared, Cluster) else "backbone"


_encode = msgspec.json.Encoder(order="deterministic").encode
_cluster, _backbone = msgspec.json.Decoder(Cluster).decode, msgspec.json.Decoder(Backbone).decode


def encode(declared: Cluster | Backbone) -> bytes:
    """The JSON it is kept as."""
    return _encode(declared)


def decode(kind: str, text: bytes | str) -> Cluster | Backbone:
    """What encode() made JSON of."""
    return _cluster(text) if kind == "cluster" else _backbone(text)
