"""What a deployment will change: each rendered object beside the one in the cluster, as the API server itself would merge them."""

import copy
import difflib
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import yaml

from infra.cluster.manifests import KNATIVE_SERVICE, MANAGED_BY, OURS, SELECTOR, VERSION, Key, key_of, kind_of, labels_of, secrets_needed
from infra.cluster.tools import Cluster, Manifest, as_list, listed

Action = Literal["create", "change", "label", "run again", "unchanged"]

MANAGER = "switchboard"  # whose fields they are, in server-side apply
RUN = "switchboard/run"  # annotation of a Job: what it was run for
TOLD = "switchboard/secrets"  # annotation of a pod template: the versions of the Secrets in its environment
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SERVERS_OWN = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink")
# Made by the cluster for what is ours, with its labels and at times without a word of who owns them: resource and kind.
COPIES = {
    "endpoints": "Endpoints",
    "endpointslices.discovery.k8s.io": "EndpointSlice",
    "events": "Event",
    "events.events.k8s.io": "Event",
    "pods": "Pod",
}


WIDEST = 240  # characters of a line of a diff: a document may be one line of a hundred thousand
HASHED = re.compile(r"(.+)-[a-z0-9]{10}")  # a ConfigMap's name with its content's hash, as kustomize makes it


@dataclass(frozen=True, slots=True)
class Change:
    """One object and what happens to it; `label`: it gets the new version's label, and nothing else. `diff`: lines of a unified diff,
    of a ConfigMap that is created to the one whose place it takes."""

    object: Manifest
    action: Action
    diff: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return key_of(self.object)


def compare(cluster: Cluster, objects: list[Manifest], exists: bool) -> list[Change]:
    """What becomes of each object. `exists`: whether the namespace is there; without it everything is new.

    Nothing is changed: the API server merges and validates in a dry run. Raises what it refuses with.
    """
    if not exists:
        return [Change(one, "create") for one in objects]
    live = {key_of(one): one for one in cluster.get("--filename=-", stdin=as_list(objects))}
    merged = merge(cluster, [one for one in objects if one["kind"] != "Job" and _can_be_tried(one, live)])
    return [
        job_change(one, live.get(key_of(one))) if one["kind"] == "Job" else change(one, live.get(key_of(one)), merged.get(key_of(one)))
        for one in objects
    ]


def _can_be_tried(one: Manifest, live: Mapping[Key, Manifest]) -> bool:
    """Whether a dry run tells something: Knative refuses a Service in one while its ServiceAccount isn't there."""
    if kind_of(one) != KNATIVE_SERVICE:
        return True
    account = one["spec"]["template"]["spec"].get("serviceAccountName", "default")
    return key_of(one) in live and (account == "default" or Key("ServiceAccount", "", account) in live)


def merge(cluster: Cluster, objects: list[Manifest]) -> dict[Key, Manifest]:
    """What the objects would be once applied, each in the way that `deploy` applies it."""
    theirs = [one for one in objects if kind_of(one) == KNATIVE_SERVICE]
    rest = [one for one in objects if kind_of(one) != KNATIVE_SERVICE]
    # kn merges with what was applied last, as `kubectl apply` does on the client's side, and notes it in the same annotation.
    with ThreadPoolExecutor(1) as meanwhile:
        first = meanwhile.submit(_dry_run, cluster, theirs)
        second = _dry_run(cluster, rest, "--server-side", "--force-conflicts", f"--field-manager={MANAGER}")
        return {key_of(one): one for one in (*first.result(), *second)}


def _dry_run(cluster: Cluster, objects: list[Manifest], *options: str) -> list[Manifest]:
    if not objects:
        return []
    return listed(cluster.kubectl("apply", *options, "--dry-run=server", "--filename=-", "--output=json", stdin=as_list(objects)))


def change(wanted: Manifest, live: Manifest | None, merged: Manifest | None) -> Change:
    """Compare an object of the cluster with what it would be."""
    if live is None:
        return Change(wanted, "create")
    before, after = (_content(one) for one in (live, merged or wanted))
    if before == after:
        return Change(wanted, "unchanged")
    versions = [one["metadata"].get("labels", {}).pop(VERSION, None) for one in (before, after)]
    diff = _unified(_text(before), _text(after))
    return Change(wanted, "change" if diff else "label", diff or (f"-{VERSION}: {versions[0]}", f"+{VERSION}: {versions[1]}"))


def with_what_they_replace(changes: Iterable[Change], stray: Iterable[Manifest]) -> list[Change]:
    """The changes, with what differs in each new ConfigMap that takes the place of one no longer rendered: its name has its content's
    hash, and without this a changed setting would be a new name and no more."""
    older: dict[str, Manifest] = {}
    for one in sorted(stray, key=lambda one: str(one["metadata"].get("creationTimestamp"))):
        if base := _hashed(one):
            older[base] = one  # the newest stays
    return [
        replace(change, diff=_unified(_data(before), _data(change.object)))
        if change.action == "create" and (before := older.get(_hashed(change.object)))
        else change
        for change in changes
    ]


def _hashed(one: Manifest) -> str:
    """A ConfigMap's name without its content's hash; empty for what has none."""
    named = HASHED.fullmatch(one["metadata"]["name"]) if one["kind"] == "ConfigMap" else None
    return named.group(1) if named else ""


def job_change(wanted: Manifest, live: Manifest | None) -> Change:
    """A Job can't be changed: it is run again when it was for something else, or failed."""
    if live is None:
        return Change(wanted, "create")
    before = (live["metadata"].get("annotations") or {}).get(RUN)
    failed = any(one["type"] == "Failed" and one["status"] == "True" for one in live.get("status", {}).get("conditions") or ())
    same = before == (wanted["metadata"].get("annotations") or {}).get(RUN)
    return Change(wanted, "unchanged" if same and not failed else "run again")


def mark(objects: Iterable[Manifest], secrets: Mapping[str, str]) -> list[Manifest]:
    """The objects with what they rest on besides their own text. Jobs: their own spec, and the versions of the Secrets they read.

    What runs pods: the versions of the Secrets that are in its pods' environment, which a process has as they were when it started. So a
    changed URL or password is a new revision, and a rollout. Secrets in a volume come to a pod as they change.
    """
    return [_marked(one, secrets) for one in objects]


def _marked(one: Manifest, secrets: Mapping[str, str]) -> Manifest:
    if one["kind"] == "Job":
        return _annotated(one, RUN, _digest([one["spec"], _versions(secrets_needed([one]), secrets)]))
    if one["kind"] not in ("Deployment", "StatefulSet") and kind_of(one) != KNATIVE_SERVICE:
        return one
    spec = one["spec"]
    told = secrets_needed({"env": container.get("env")} for container in spec["template"]["spec"]["containers"])
    if not told:
        return one
    template = _annotated({"metadata": {}, **spec["template"]}, TOLD, _digest(_versions(told, secrets)))
    return {**one, "spec": {**spec, "template": template}}


def _versions(names: Iterable[str], secrets: Mapping[str, str]) -> dict[str, str]:
    return {name: secrets.get(name, "") for name in sorted(names)}


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _annotated(one: Manifest, name: str, value: str) -> Manifest:
    metadata = one["metadata"]
    return {**one, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), name: value}}}


def no_longer_rendered(cluster: Cluster, objects: Iterable[Manifest], keep: Iterable[str]) -> list[Manifest]:
    """Objects that `deploy` made in the namespace and the manifests don't have: neither volumes (data), nor the Secrets to keep.

    An operator's own, an Ingress say, may be part of Switchboard too: by its label somebody else manages it.
    """
    rendered = {(key.kind, key.group, key.name) for key in map(key_of, objects)}
    kept = {("Secret", "", name) for name in keep}
    return [
        one
        for one in labelled(cluster)
        if labels_of(one).get(MANAGED_BY) == OURS[MANAGED_BY]
        and one["kind"] != "PersistentVolumeClaim"
        and tuple(key_of(one)) not in rendered
        and tuple(key_of(one)) not in kept
    ]


def labelled(cluster: Cluster) -> list[Manifest]:
    """Every object in the namespace with our part-of label that no other object stands for."""
    found = all_labelled(cluster, besides=COPIES)
    return [one for one in found if not one["metadata"].get("ownerReferences") and one["kind"] not in COPIES.values()]


def all_labelled(cluster: Cluster, besides: Collection[str] = ()) -> list[Manifest]:
    """Every object in the namespace with our part-of label, those included that the cluster made for others: pods, revisions. Resources
    (`pods`) of `besides` aren't asked for: the API server reads every event of a namespace to tell which have a label."""
    kinds = cluster.kubectl("api-resources", "--namespaced", "--verbs=list,delete", "--output=name").split()
    found = cluster.get(",".join(kind for kind in kinds if kind not in besides), f"--selector={SELECTOR}")
    return list({key_of(one): one for one in found}.values())


def _content(one: Manifest) -> Manifest:
    """The object without what the API server writes into it; a Secret without its values."""
    metadata = {name: value for name, value in one["metadata"].items() if name not in SERVERS_OWN}
    annotations = {name: value for name, value in (metadata.pop("annotations", None) or {}).items() if name != LAST_APPLIED}
    hidden = ("metadata", "status", *(("data", "stringData") if one["kind"] == "Secret" else ()))
    rest = {name: value for name, value in one.items() if name not in hidden}
    return copy.deepcopy({**rest, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}})


def _data(one: Manifest) -> list[str]:
    """A ConfigMap's values, line by line: files are among them."""
    return [f"{name}: {line}" for name, value in sorted((one.get("data") or {}).items()) for line in value.splitlines()]


def _unified(before: list[str], after: list[str]) -> tuple[str, ...]:
    lines = difflib.unified_diff(before, after, "in the cluster", "rendered", lineterm="", n=2)
    return tuple(line if len(line) <= WIDEST else f"{line[:WIDEST]}… ({len(line) - 1} characters)" for line in lines)


def _text(one: Manifest) -> list[str]:
    return str(yaml.safe_dump(one, sort_keys=True, default_flow_style=False)).splitlines()
