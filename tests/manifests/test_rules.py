"""What a schema doesn't know: least privilege, probes, references, labels, and that nothing is cut off when a pod ends."""

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.render import gateway_server
from infra.render.gateway import FUNCTION_S
from shared.edge.server import GRACE
from tests.manifests.objects import (
    KNATIVE,
    Rendered,
    containers,
    is_service,
    label,
    named,
    namespace_of,
    pod_of,
    selects,
    there,
    with_pods,
)

ROOT = Path(__file__).parents[2]
LABELS = ("name", "component", "part-of", "managed-by", "version")
WHOLE = {"switchboard-edge-keys"}  # its keys are edges' names, and there is nothing else in it
PODS = ("logger", "nats-source", "reconcile-backbones", "redis-source", "websocket")
ASKS = "reconcile-backbones"  # the API server
DRAIN_S = 30  # queue-proxy's: it goes on serving for so long when its pod is told to end, before the function is told


def test_container_may_do_nothing_but_its_work_when_it_runs(rendered: Rendered) -> None:
    for name, each, container in containers(rendered):
        security = pod_of(each).get("securityContext", {}) | container["securityContext"]
        wanted = {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {field: security.get(field) for field in wanted} == wanted, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert security["runAsUser"] > 0, name


def test_pod_holds_no_credential_of_the_cluster_when_it_runs(rendered: Rendered) -> None:
    for name, each in with_pods(rendered):
        assert pod_of(each)["automountServiceAccountToken"] is (each["metadata"]["name"] == ASKS), name
        assert pod_of(each)["enableServiceLinks"] is False, name
    roles = [one for objects in rendered.values() for one in objects if "Role" in one["kind"]]
    assert {(one["kind"], one["metadata"]["name"]) for one in roles} == {("Role", ASKS), ("RoleBinding", ASKS)}


def test_reconciler_may_do_what_the_chart_makes_and_no_more_when_it_runs(rendered: Rendered) -> None:
    role = named(rendered["production"], "Role", ASKS)
    may = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert not [one for one in may if "*" in one]
    changed = {resource for resource, verb in may if verb not in ("get", "list")}
    assert changed == {"configmaps", "services", "statefulsets", "poddisruptionbudgets", "networkpolicies", "secrets"}
    assert {verb for resource, verb in may if resource == "secrets"} == {"get", "create", "patch", "delete"}, "they can't be listed"
    binding = named(rendered["production"], "RoleBinding", ASKS)
    assert [(one["kind"], one["name"]) for one in binding["subjects"]] == [("ServiceAccount", ASKS)]
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("Role", ASKS)


def test_pod_of_ours_has_an_account_of_its_own_when_it_runs(rendered: Rendered) -> None:
    for cluster, objects in rendered.items():
        accounts = {one["metadata"]["name"] for one in objects if one["kind"] == "ServiceAccount"}
        users = [pod_of(one)["serviceAccountName"] for one in objects if is_service(one) or one["kind"] in ("Deployment", "Job")]
        assert sorted(users) == sorted(accounts), cluster


def test_container_has_bounds_and_probes_when_it_runs(rendered: Rendered) -> None:
    for name, each, container in containers(rendered):
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name
        if each["kind"] != "Job":
            assert {"readinessProbe", "livenessProbe"} <= set(container), name
        if label(each, "component") in ("function", "pod"):
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz", name
            assert container["livenessProbe"]["httpGet"]["path"] == "/healthz", name


def test_image_has_a_tag_that_stays_when_it_isnamed(rendered: Rendered) -> None:
    for name, _, container in containers(rendered):
        assert re.fullmatch(r".+:[^:/]+", container["image"]), name
        assert not container["image"].endswith(":latest"), name


def test_command_can_be_run_when_a_container_of_ours_has_it(rendered: Rendered) -> None:
    for name, each, container in containers(rendered):
        if label(each, "component") in ("function", "pod"):
            python, option, module = container["command"]
            assert (python, option) == ("python", "-m"), name
            folder = str(each["metadata"]["name"]).replace("-", "_")
            assert module == f"functions.{folder}.main", name
            assert hasattr(importlib.import_module(module), "app"), name
            assert '__name__ == "__main__"' in (ROOT / "functions" / folder / "main.py").read_text(), name


def test_config_map_is_there_when_something_refers_to_it(rendered: Rendered) -> None:
    for cluster, objects in rendered.items():
        there = {one["metadata"]["name"] for one in objects if one["kind"] == "ConfigMap"}
        named = set(re.findall(r'"configMap(?:Ref)?": \{[^{}]*"name": "([^"]+)"', json.dumps(objects)))
        assert named == there, cluster


def test_secret_is_documented_when_something_refers_to_it(rendered: Rendered) -> None:
    text = (ROOT / "knative" / "README.md").read_text()
    found = set()
    for name, each in with_pods(rendered):
        for secret, keys in _secrets(pod_of(each)):
            found.add(secret)
            assert f"`{secret}`" in text, name
            assert keys or secret in WHOLE, f"{name}: {secret} without a key would give everything"
            assert all(f"`{key}`" in text for key in keys), f"{name}: {keys}"
    assert {"switchboard-servers", "switchboard-secret", "switchboard-admin-key"} <= found
    assert not [one for objects in rendered.values() for one in objects if one["kind"] == "Secret"]


def _secrets(value: Any) -> Iterator[tuple[str, list[str]]]:
    for each in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        yield from _secrets(each)
    if isinstance(value, dict):
        for kind, one in value.items():
            if kind == "secretKeyRef":
                yield one["name"], [one["key"]]
            elif kind == "secret" and isinstance(one, dict):
                yield one.get("secretName") or one["name"], [item["key"] for item in one.get("items", ())]


def test_object_says_whose_it_is_when_it_is_rendered(rendered: Rendered) -> None:
    for cluster, objects in rendered.items():
        for each in objects:
            assert label(each, "part-of") == label(each, "managed-by") == "switchboard", f"{cluster}: {each['metadata']}"
            of = each["metadata"]["name" if each["kind"] == "Namespace" else "namespace"]
            assert of == namespace_of(cluster), f"{cluster}: {each['metadata']}"
    for name, each in with_pods(rendered):
        assert all(label(each, one) for one in LABELS), name
        template = each["spec"]["template"]
        assert all(label(template, one) == label(each, one) for one in LABELS[:4]), name
        assert "app.kubernetes.io/version" not in each["spec"].get("selector", {}).get("matchLabels", {}), name


def test_function_has_its_manifest_when_it_is_built(rendered: Rendered) -> None:
    rows = re.findall(r"^\| (\w+) \| (function|pod) \|", (ROOT / "functions" / "README.md").read_text(), re.MULTILINE)
    assert len(rows) >= 8
    for folder, kind in rows:
        name = folder.replace("_", "-")
        assert (ROOT / "knative" / "base" / name / "kustomization.yaml").is_file()
        for objects in (objects for cluster, objects in rendered.items() if there(cluster, [name])):
            each = named(objects, "Service", name, KNATIVE) if kind == "function" else named(objects, "Deployment", name)
            assert label(each, "name") == name
            assert label(each, "component") == kind


def test_pod_is_replaced_before_it_goes_when_it_serves(rendered: Rendered) -> None:
    for cluster, objects in rendered.items():
        for each in (one for one in objects if one["kind"] == "Deployment"):
            name = f"{cluster}: {each['metadata']['name']}"
            assert each["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, name
            budget = named(objects, "PodDisruptionBudget", each["metadata"]["name"])["spec"]
            assert selects(budget["selector"], each["spec"]["template"]["metadata"]["labels"]), name
            assert budget["maxUnavailable"] == 1, name


def test_grace_covers_the_drain_when_a_pod_ends(rendered: Rendered) -> None:
    for objects in rendered.values():
        for each in objects:
            if is_service(each):
                assert pod_of(each)["timeoutSeconds"] == FUNCTION_S
                assert pod_of(each)["timeoutSeconds"] > DRAIN_S + GRACE  # it is the pod's grace period, too
            elif each["kind"] == "Deployment":
                pod = pod_of(each)
                before = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                serves = GRACE if each["metadata"]["name"] in PODS else 0
                assert pod["terminationGracePeriodSeconds"] > before + serves + 5


def test_gateways_clients_are_gone_when_its_pod_ends(rendered: Rendered) -> None:
    for objects in rendered.values():
        sleep = pod_of(named(objects, "Deployment", "gateway"))["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert sleep > 2 * gateway_server.CONNECTION_S


@pytest.mark.parametrize("name", ["ingest", "query"])
def test_function_is_never_away_when_the_cluster_is_for_production(rendered: Rendered, name: str) -> None:
    annotations = named(rendered["production"], "Service", name, KNATIVE)["spec"]["template"]["metadata"]["annotations"]
    assert int(annotations["autoscaling.knative.dev/min-scale"]) >= 2
    assert all(named(rendered["production"], "Deployment", pod)["spec"]["replicas"] >= 2 for pod in (*PODS, "gateway"))
