"""`switchboard doctor --cluster`: what is too old."""

import json
from typing import Any

import pytest

from infra.cluster import tools
from infra.cluster.checks import Patient, kubernetes, serving
from infra.cluster.examination import DOOR, of_servers, pod
from infra.cluster.tools import Cluster

PATIENT = Patient(Cluster("here", "sb"), [])


@pytest.mark.parametrize(
    ("version", "status"), [("v1.29.14-eks-1", "failed"), ("v1.30.0", "ok"), ("v1.34.4+k3s1", "ok"), ("v2.0.0", "ok"), ("devel", "ok")]
)
def test_kubernetes_is_refused_when_it_knows_no_sleep_before_a_pod_ends(monkeypatch: pytest.MonkeyPatch, version: str, status: str) -> None:
    said = {"clientVersion": {"gitVersion": "v1.28.0"}, "serverVersion": {"gitVersion": version}}
    monkeypatch.setattr(tools, "run", lambda command, stdin=None: json.dumps(said))
    found = kubernetes(PATIENT)
    assert (found.status, found.found) == (status, f"{version}, namespace sb of context here")
    assert ("1.30" in found.remedy) is (status == "failed")


@pytest.mark.parametrize(("version", "status"), [("v1.13.1", "failed"), ("v1.14.0", "ok"), ("1.9.0", "failed"), ("devel", "ok")])
def test_serving_is_refused_when_its_functions_may_have_no_volumes(monkeypatch: pytest.MonkeyPatch, version: str, status: str) -> None:
    controller: dict[str, Any] = {"kind": "Deployment", "metadata": {"labels": {"app.kubernetes.io/version": version}}}
    monkeypatch.setattr(tools, "run", lambda command, stdin=None: json.dumps(controller))
    found = serving(PATIENT)
    assert (found.status, "1.14" in found.remedy) == (status, status == "failed")


@pytest.mark.parametrize("own", [[], [{"name": DOOR, "value": "redis://of-the-function"}]], ids=["its source's alone", "its own"])
def test_pod_that_asks_the_servers_is_told_where_the_submit_lists_are(own: list[dict[str, Any]]) -> None:
    told = {"name": DOOR, "valueFrom": {"secretKeyRef": {"name": "switchboard-servers", "key": "redis_door_url", "optional": True}}}
    source = deployment("redis-source", [{"name": "OTHER", "value": "1"}, told])
    function = deployment("ingest", own)
    (container,) = pod("doctor-1", "sb", function, [source, deployment("logger", [told])])["spec"]["containers"]
    assert container["env"] == (own or [told])


def test_image_is_to_be_built_with_a_compiler_when_its_pod_runs_on_python_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"check": "compiled module", "status": "warning", "found": "not there: Python alone", "what to do": "run `make setup`"}
    rows = [there, {"check": "disk", "status": "ok", "found": "9 GiB", "what to do": ""}]  # the pod's own disk is nobody's concern
    said = {"get": json.dumps({"kind": "Pod", "status": {"phase": "Succeeded"}}), "logs": json.dumps(rows)}
    monkeypatch.setattr(tools, "run", lambda command, stdin=None: next((said[word] for word in command if word in said), ""))
    ((check, finding),) = of_servers(PATIENT.cluster, deployment("ingest", []), [])
    assert (check, finding.status, finding.found) == ("compiled module", "warning", "not there: Python alone")
    assert "BUILDER" in finding.remedy


def deployment(name: str, environment: list[dict[str, Any]]) -> dict[str, Any]:
    spec = {"containers": [{"name": name, "image": "ours", "env": environment}]}
    return {"kind": "Deployment", "metadata": {"name": name}, "spec": {"template": {"spec": spec}}}
