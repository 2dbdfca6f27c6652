"""The manifests of a cluster, rendered from knative/clusters/NAME: what they are, in what order they go, which Secrets they need."""

import enum
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from infra.cluster.tools import Manifest, run
from shared.domain.errors import Misconfigured, NotFound

CLUSTERS = Path(__file__).parents[2] / "knative" / "clusters"
PART_OF, MANAGED_BY, COMPONENT = (f"app.kubernetes.io/{name}" for name in ("part-of", "managed-by", "component"))
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

    def __str__(self) -> str:
        return f"{self.kind.lower()}{f'.{self.group}' if self.group else ''}/{self.name}"


_CONFIG_KINDS = {"ServiceAccount", "Role", "RoleBinding", "ConfigMap", "NetworkPolicy"}


def render(cluster: str, clusters: Path = CLUSTERS) -> list[Manifest]:
    """The objects of knative/clusters/<cluster>. Raises NotFound for a name that isn't there, NotProcessable where kustomize refuses."""
    folder = clusters / cluster
    if not (folder / "kustomization.yaml").is_file():
        there = ", ".join(sorted(path.parent.name for path in clusters.glob("*/kustomization.yaml"))) or "none"
        raise NotFound(f"there is no cluster {cluster} in {clusters} (there: {there})")
    return [document for document in yaml.safe_load_all(run(["kubectl", "kustomize", str(folder)])) if document]


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
