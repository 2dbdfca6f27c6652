"""What a cluster is, by what its kustomization leaves there: which functions, and whether its hub is another cluster."""

from collections.abc import Iterable
from typing import Any

from shared.domain.errors import Misconfigured
from shared.routes import FUNCTIONS

Json = dict[str, Any]

SETTINGS = "switchboard-settings"  # the ConfigMap that all pods read; kustomize puts a hash behind its name
HUB, CLUSTER = "SWITCHBOARD_HUB_URL", "SWITCHBOARD_CLUSTER"
UNNAMED = "local"  # what a cluster is called that nobody named


def settings_of(objects: Iterable[Json]) -> dict[str, str]:
    """What all pods are told."""
    found = (one for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"].startswith(SETTINGS))
    return {name: str(value) for one in found for name, value in (one.get("data") or {}).items()}


def is_edge(objects: Iterable[Json]) -> bool:
    """Whether config and store are another cluster's."""
    return HUB in settings_of(objects)


def functions_of(objects: Iterable[Json]) -> tuple[str, ...]:
    """The route table's functions that are there, in its order: Knative Services and Deployments, by their folders' names."""
    kinds = (("serving.knative.dev", "Service"), ("apps", "Deployment"))
    there = {one["metadata"]["name"].replace("-", "_") for one in objects if (one["apiVersion"].partition("/")[0], one["kind"]) in kinds}
    return tuple(name for name in FUNCTIONS if name in there)


def check_role(objects: list[Json]) -> None:
    """Raises Misconfigured for an edge without a hub or a name of its own, and for a hub elsewhere where config-crud is here."""
    settings, has_config = settings_of(objects), "config_crud" in functions_of(objects)
    if has_config and HUB in settings:
        raise Misconfigured(f"{HUB} is set, so it is an edge: name overlays/edge among the components, or unset it")
    if not has_config and not settings.get(HUB):
        raise Misconfigured(f"there is no config-crud, so it is an edge: {SETTINGS} must say where its hub is, {HUB}")
    if not has_config and settings.get(CLUSTER, UNNAMED) == UNNAMED:
        raise Misconfigured(f"an edge needs a name that no other cluster has: {SETTINGS} must say {CLUSTER}")
