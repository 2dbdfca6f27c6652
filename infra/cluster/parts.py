"""What a deployment leaves out: kinds that the cluster doesn't have, and optional parts that its manifests don't name."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import yaml

from infra.cluster.manifests import KNATIVE, KNATIVE_SERVICE, key_of, kind_of
from infra.cluster.tools import Cluster, Manifest
from infra.render.manifests import folder_of
from shared.domain.errors import Misconfigured, NotFound

QUESTIONS = 4  # of the API server at a time
# Kinds that only some clusters have, and what Switchboard is without them.
OPTIONAL = {
    "monitoring.coreos.com": "nothing scrapes /metrics by itself",
    "keda.sh": "no scaling of nats-source by what waits in the submit streams",
    "eventing.knative.dev": "no brokered wiring",
    "sources.knative.dev": "no Knative sources",
}


def served(cluster: Cluster, objects: list[Manifest]) -> tuple[list[Manifest], list[str]]:
    """The objects whose kind the cluster has, and what is left out, in words.

    Raises Misconfigured where a kind is missing that can't be left out, and for an object outside the namespace.
    """
    versions = sorted({kind_of(one)[0] for one in objects})
    with ThreadPoolExecutor(QUESTIONS) as asked:
        kinds = dict(zip(versions, asked.map(partial(_kinds, cluster), versions), strict=True))
    left_out: list[str] = []
    kept: list[Manifest] = []
    for one in objects:
        version, kind = kind_of(one)
        if kind not in kinds[version]:
            left_out.append(f"{key_of(one)}: {_without(version, kind)}")
        elif not kinds[version][kind] and kind != "Namespace":
            raise Misconfigured(f"{key_of(one)} belongs to no namespace: `deploy` could not take it away again")
        else:
            kept.append(one)
    return kept, left_out


def scaled(objects: list[Manifest]) -> list[Manifest]:
    """The objects, without the replicas of those Deployments that a ScaledObject scales: how many there are now is KEDA's to say, and
    a deployment that had its own number would take pods away under load."""
    theirs = {one["spec"]["scaleTargetRef"]["name"] for one in objects if one["kind"] == "ScaledObject"}
    return [_without_replicas(one) if one["kind"] == "Deployment" and one["metadata"]["name"] in theirs else one for one in objects]


def _without_replicas(one: Manifest) -> Manifest:
    return {**one, "spec": {name: value for name, value in one["spec"].items() if name != "replicas"}}


def _kinds(cluster: Cluster, version: str) -> dict[str, bool]:
    """The kinds of an API version, and whether each is in a namespace."""
    path = f"/apis/{version}" if "/" in version else f"/api/{version}"
    try:
        answer = json.loads(cluster.kubectl("get", "--raw", path))
    except NotFound:
        return {}
    return {one["kind"]: one["namespaced"] for one in answer["resources"]}


def _without(version: str, kind: str) -> str:
    if (version, kind) == KNATIVE_SERVICE:
        raise Misconfigured("the cluster has no Knative Serving: install it (README.md, Deploy to a cluster)")
    group = version.partition("/")[0]
    if group not in OPTIONAL:
        raise Misconfigured(f"the cluster doesn't have {kind} of {version}")
    return f"the cluster has no {kind}, so {OPTIONAL[group]}"


def not_named(name: str) -> list[str]:
    """Overlays and components of knative/ that the manifests of this cluster don't take in."""
    taken = set(_taken(folder_of(name)))
    optional = sorted(
        path.parent for path in (*KNATIVE.glob("overlays/*/kustomization.yaml"), *KNATIVE.glob("components/*/kustomization.yaml"))
    )
    return [f"{folder.relative_to(KNATIVE)}: {name} doesn't name it" for folder in optional if folder not in taken]


def _taken(folder: Path) -> Iterable[Path]:
    """A kustomization's folder and those it refers to, and theirs."""
    yield folder.resolve()
    file = folder / "kustomization.yaml"
    content = yaml.safe_load(file.read_text()) if file.is_file() else {}
    for entry in (*(content.get("resources") or ()), *(content.get("components") or ())):
        if (folder / entry).is_dir():
            yield from _taken(folder / entry)
