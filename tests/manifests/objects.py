"""Finding one's way in rendered objects."""

from collections.abc import Iterable, Iterator
from typing import Any

Json = dict[str, Any]
Rendered = dict[str, list[Json]]

KNATIVE = "serving.knative.dev/v1"
NEW_PODS = ("Deployment", "StatefulSet", "Job")
EDGES = ("test-edge",)  # clusters whose hub is another
OF_A_HUB = {"config-crud", "log-batch", "query", "reconcile-backbones", "registry-crud"}  # what an edge hasn't
NAMESPACES = {"test-edge": "switchboard-edge"}  # where it isn't `switchboard`


def is_service(each: Json) -> bool:
    """Whether it is a Knative Service."""
    return bool(each["apiVersion"] == KNATIVE)


def with_pods(rendered: Rendered) -> Iterator[tuple[str, Json]]:
    """Everything that makes pods, and what to call it."""
    for cluster, objects in rendered.items():
        for each in objects:
            if is_service(each) or each["kind"] in NEW_PODS:
                yield f"{cluster}: {each['kind']} {each['metadata']['name']}", each


def pod_of(each: Json) -> Json:
    """The spec of its pods."""
    return dict(each["spec"]["template"]["spec"])


def containers(rendered: Rendered) -> Iterator[tuple[str, Json, Json]]:
    """Every container, after what to call it and what it is of."""
    for name, each in with_pods(rendered):
        for container in pod_of(each)["containers"]:
            yield name, each, container


def namespace_of(cluster: str) -> str:
    """The namespace of a cluster's objects."""
    return NAMESPACES.get(cluster, "switchboard")


def there(cluster: str, names: Iterable[str]) -> set[str]:
    """Those of our functions and pods that a cluster has."""
    return set(names) - (OF_A_HUB if cluster in EDGES else set())


def label(each: Json, name: str) -> str:
    """One of the app.kubernetes.io/ labels; empty where there is none."""
    return str(each["metadata"].get("labels", {}).get(f"app.kubernetes.io/{name}", ""))


def named(objects: list[Json], kind: str, name: str, version: str = "") -> Json:
    """The object of that kind and name."""
    return next(one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name) and one["apiVersion"].startswith(version))


def selects(selector: Json, labels: Json) -> bool:
    """Whether a label selector takes these labels."""
    for rule in selector.get("matchExpressions", ()):
        if rule["operator"] != "In" or labels.get(rule["key"]) not in rule["values"]:
            return False
    return bool(selector.get("matchLabels", {}).items() <= labels.items())
