"""The checks of `switchboard doctor --cluster`: what a cluster must have before Switchboard runs there, and how its servers are set."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from infra.cluster import examination, secrets
from infra.cluster.manifests import KNATIVE_SERVICE, kind_of, namespace_of, render, secrets_needed
from infra.cluster.plan import changes_of, fitted
from infra.cluster.tools import Cluster, Manifest, has, listed
from infra.local.checks import Finding
from infra.render.roles import is_edge
from shared.domain.errors import SwitchboardError

OLDEST_KUBERNETES = (1, 30)  # a preStop hook may be `sleep`: websocket and gateway rest on it
OLDEST_SERVING = (1, 14)  # its functions may have emptyDir volumes without a flag
VERSION = "app.kubernetes.io/version"
RELEASED = re.compile(r"v?(\d+)\.(\d+)")
FEATURE = "kubernetes.podspec-volumes-emptydir"


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined: a cluster, and the objects that go there."""

    cluster: Cluster
    objects: list[Manifest]


Check = Callable[[Patient], Finding]


def kubernetes(patient: Patient) -> Finding:
    """The API server answers, and is new enough; where we are."""
    (answer,) = listed(patient.cluster.kubectl("version", "--output=json"))
    version = str(answer["serverVersion"]["gitVersion"])
    found = f"{version}, {patient.cluster.title()}"
    if _older(version, OLDEST_KUBERNETES):
        return Finding("failed", found, f"needs Kubernetes {_named(OLDEST_KUBERNETES)} or newer")
    return Finding("ok", found)


def kn(patient: Patient) -> Finding:
    """kn is here; without it kubectl does."""
    return (
        Finding("ok", "in PATH")
        if has("kn")
        else Finding("warning", "not in PATH", "kubectl is used instead; kn shows more of what goes wrong")
    )


def serving(patient: Patient) -> Finding:
    """Knative Serving is there, and new enough."""
    found = _version(patient.cluster, "knative-serving", "controller")
    if found is None:
        return Finding("failed", "not there", "install Knative Serving and a network layer for it, such as Kourier")
    if not RELEASED.match(found):
        return Finding("ok", f"{found}: built from source")
    if _older(found, OLDEST_SERVING):
        return Finding("failed", found, f"install Knative Serving {_named(OLDEST_SERVING)} or newer")
    return Finding("ok", found)


def features(patient: Patient) -> Finding:
    """Functions may have the volumes that they need."""
    found = patient.cluster.kubectl(
        "get", "configmap/config-features", "--namespace=knative-serving", "--ignore-not-found", "--output=json"
    )
    data = next((one.get("data") or {} for one in listed(found)), {})
    if str(data.get(FEATURE, "enabled")).lower() != "enabled":
        return Finding("failed", f"{FEATURE} is {data[FEATURE]}", f"set {FEATURE}: enabled in config-features of knative-serving")
    return Finding("ok", f"{FEATURE}: {data.get(FEATURE, 'enabled by default')}")


def eventing(patient: Patient) -> Finding:
    """Knative Eventing is there: for Triggers and sources only."""
    found = _version(patient.cluster, "knative-eventing", "eventing-controller")
    if found is None:
        return Finding("warning", "not there", "install Knative Eventing where sources or Triggers should send to Switchboard")
    return Finding("ok", found)


def manifests(patient: Patient) -> Finding:
    """The API server would take every object; a Knative Service that is new is tried when it is applied."""
    objects, left_out, exists = fitted(patient.cluster, patient.objects)
    waiting = sum(change.action != "unchanged" for change in changes_of(patient.cluster, objects, exists))
    return Finding("ok", f"{len(objects)} objects, {waiting} to create or change{f', {len(left_out)} left out' if left_out else ''}")


def secret_values(patient: Patient) -> Finding:
    """The Secrets that pods read are there, with their keys."""
    needed = secrets_needed(patient.objects)
    absent = secrets.missing(needed, secrets.read(patient.cluster, needed), is_edge(patient.objects))
    if absent:
        return Finding("skipped", f"not there: {', '.join(absent)}", "`switchboard deploy` makes them")
    return Finding("ok", ", ".join(sorted(needed)))


CHECKS: tuple[tuple[str, Check], ...] = (
    ("kn", kn),
    ("Knative Serving", serving),
    ("Knative features", features),
    ("Knative Eventing", eventing),
    ("manifests", manifests),
    ("Secrets", secret_values),
)


def examine(name: str, context: str | None) -> list[tuple[str, Finding]]:
    """Every check; one that can't be made is a finding, not an error. The servers are asked from within, by a pod that is taken away
    again. Raises what the rendering raises, and what kubectl says where the cluster doesn't answer."""
    objects = render(name)
    patient = Patient(Cluster.named(context, namespace_of(objects)), objects)
    findings = [("Kubernetes", kubernetes(patient)), *((title, _one(check, patient)) for title, check in CHECKS)]
    secrets_there = next(each for title, each in findings if title == "Secrets").status == "ok"
    function = next((one for one in objects if kind_of(one) == KNATIVE_SERVICE and one["metadata"]["name"] == "ingest"), None)
    if function is None or not secrets_there:
        return [*findings, ("servers", Finding("skipped", "their Secrets aren't there", "`switchboard deploy` first"))]
    try:
        return [*findings, *examination.of_servers(patient.cluster, function, objects)]
    except SwitchboardError as error:
        return [*findings, ("servers", Finding("failed", error.detail, "see why that pod doesn't run"))]


def _one(check: Check, patient: Patient) -> Finding:
    try:
        return check(patient)
    except SwitchboardError as error:
        return Finding("failed", error.detail, "correct that")


def _older(version: str, oldest: tuple[int, int]) -> bool:
    """Whether a release is older; not so where it isn't a release's number."""
    released = RELEASED.match(version)
    return released is not None and tuple(map(int, released.groups())) < oldest


def _named(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _version(cluster: Cluster, namespace: str, deployment: str) -> str | None:
    """The version label of a Deployment elsewhere; None where it isn't."""
    text = cluster.kubectl("get", f"deployment/{deployment}", f"--namespace={namespace}", "--ignore-not-found", "--output=json")
    return next((str(one["metadata"].get("labels", {}).get(VERSION, "of an unknown version")) for one in listed(text)), None)
