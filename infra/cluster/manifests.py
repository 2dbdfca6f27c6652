"""The manifests of a cluster, rendered from knative/clusters/NAME: what they are, in what order they go, which Secrets they need."""

import enum
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from infra.cluster.tools import Manifest
from infra.render import manifests
from infra.render.manifests import CLUSTERS, folder_of
from shared.domain.errors import Misconfigured

KNATIVE = CLUSTERS.parent
PART_OF, MANAGED_BY, COMPONENT, VERSION = (f"app.kubernetes.io/{name}" for name in ("part-of", "managed-by", "component", "version"))
OURS = {PART_OF: "switchboard", MANAGED_BY: "switchboard"}
SELECTOR = f"{PART_OF}=switchboard"
KNATIVE_SERVICE = ("serving.knative.dev/v1", "Service")


class Stage(enum.IntEnum):
    """When an object is applied: each stage rests on those before it."""

    NAMESPACE = 0
    CONFIG = 1
    SERVERS = 2
    SETUP = 3
    SERVICES = 4  # Knative's, one by one
    REST = 5


class Key(NamedTuple):
    """What an object is called."""

    kind: str
    group: str
    name: str

    @property
    def title(self) -> str:
        """The kind in words: there are two that are called Service."""
        return "Knative Service" if (self.group, self.kind) == ("serving.knative.dev", "Service") else self.kind

    def __str__(self) -> str:
        return f"{self.kind.lower()}{f'.{self.group}' if self.group else ''}/{self.name}"


_CONFIG_KINDS = {"ServiceAccount", "Role", "RoleBinding", "ConfigMap", "NetworkPolicy"}


def render(name: str) -> list[Manifest]:
    """The objects of a cluster. Raises what infra.render.manifests.render raises."""
    folder = folder_of(name)
    return [_nameless(one) if kind_of(one) == KNATIVE_SERVICE else one for one in manifests.render(folder.name, folder.parent)]


def _nameless(service: Manifest) -> Manifest:
    """A Knative Service without its container's name: kn keeps it when it creates a Service and drops it when it changes one, so that
    every deployment would be a new revision. Knative's own name for it, user-container, it has in both."""
    for container in service["spec"]["template"]["spec"]["containers"][:1]:
        container.pop("name", None)
    return service


def namespace_of(objects: Iterable[Manifest]) -> str:
    """The one namespace the objects are in. Raises Misconfigured where there is none, or more than one."""
    names = {one["metadata"]["namespace"] for one in objects if "namespace" in one["metadata"]}
    if len(names) != 1:
        raise Misconfigured(f"a cluster's objects must be in one namespace, and these are in {', '.join(sorted(names)) or 'none'}")
    return str(names.pop())


def key_of(one: Manifest) -> Key:
    """Kind, API group and name."""
    group, slash, _ = str(one["apiVersion"]).rpartition("/")
    return Key(one["kind"], group if slash else "", one["metadata"]["name"])


def kind_of(one: Manifest) -> tuple[str, str]:
    """apiVersion and kind."""
    return str(one["apiVersion"]), str(one["kind"])


def labels_of(one: Manifest) -> dict[str, str]:
    """An object's labels."""
    return one["metadata"].get("labels") or {}


def stage_of(one: Manifest) -> Stage:
    """When the object is applied."""
    kind = one["kind"]
    if kind == "Namespace":
        return Stage.NAMESPACE
    if kind in _CONFIG_KINDS:
        return Stage.CONFIG
    if kind == "Job":
        return Stage.SETUP
    if kind_of(one) == KNATIVE_SERVICE:
        return Stage.SERVICES
    return Stage.SERVERS if labels_of(one).get(COMPONENT) == "server" else Stage.REST


def in_order(objects: Iterable[Manifest]) -> list[Manifest]:
    """The objects in the order they are applied."""
    return sorted(objects, key=lambda one: (stage_of(one), key_of(one).kind, key_of(one).name))


def secrets_needed(objects: Iterable[Manifest]) -> dict[str, set[str]]:
    """The Secrets that pods take values from, and the keys they name; optional ones left out."""
    needed: dict[str, set[str]] = {}
    for one in objects:
        for name, keys in _references(one):
            needed.setdefault(name, set()).update(keys)
    return needed


def _references(value: Any) -> Iterator[tuple[str, set[str]]]:
    """Every secretKeyRef, secretRef and Secret volume below a value."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        if name in ("secretKeyRef", "secretRef", "secret") and isinstance(item, dict) and not item.get("optional"):
            if secret := item.get("secretName") or item.get("name"):
                yield secret, {item["key"]} if "key" in item else {each["key"] for each in item.get("items", ())}
        else:
            yield from _references(item)
