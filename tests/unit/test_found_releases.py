"""Where a release is found, and what of it somebody changed, by what the API server says of its objects."""

from copy import deepcopy
from typing import Any

import pytest

from shared.adapters.helm.found import endpoint_of, leaf_of
from shared.adapters.helm.live import KINDS, differs, parts_of
from shared.domain.registry.deploying import Deployment
from shared.domain.registry.shapes import Access, Cluster, Expose, Leaf, Spec
from tests.charts.rendering import render

Json = dict[str, Any]
EU = Cluster("eu", "acme", "", "helm", Access(kubeconfig_secret="acme.eu"), {})
PORTS = [{"port": 4222, "nodePort": 30422}, {"port": 7422, "nodePort": 30742}]


def wanted(type: Any, known: str | None = None, leaf: str = "", replicas: Any = 3) -> Deployment:
    spec = Spec(replicas, expose=Expose(type))
    inside = "nats-leaf://main-0a.switchboard.svc:7422"
    return Deployment("main-0a", EU, spec, {"leafnodes": {"enabled": True}}, endpoint=known, leaf=Leaf(inside, leaf) if leaf else None)


def pod(host: str, *, ready: bool = True) -> Json:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": {"name": "main-0a-0"}, "status": {"hostIP": host, "conditions": conditions}}


def service(**status: Any) -> Json:
    return {"spec": {"ports": PORTS}, "status": status}


def found(of: Deployment, pods: list[Json], **status: Any) -> tuple[str | None, str]:
    """The endpoint, and where leaves of other clusters come in."""
    leaf = leaf_of(service(**status), of, "switchboard", pods)
    return endpoint_of(service(**status), of, "switchboard", pods)[0], leaf.outside if leaf else ""


A, B, C = pod("10.0.0.1"), pod("10.0.0.2"), pod("10.0.0.3")


def test_node_ports_are_found_on_a_node_with_a_server_when_nothing_is_known() -> None:
    assert found(wanted("NodePort"), [pod("10.0.0.1", ready=False), B, C]) == ("nats://10.0.0.2:30422", "nats-leaf://10.0.0.2:30742")
    assert found(wanted("NodePort"), []) == (None, "")


def test_nobody_is_sent_elsewhere_when_a_server_is_away_for_a_moment() -> None:
    at = wanted("NodePort", "nats://10.0.0.1:30422", "nats-leaf://10.0.0.1:30742")
    stays = ("nats://10.0.0.1:30422", "nats-leaf://10.0.0.1:30742")
    assert found(at, [A, B, C]) == stays
    assert found(at, [pod("10.0.0.1", ready=False), B, C]) == stays
    assert found(at, [B, C]) == stays
    assert found(at, []) == stays


def test_it_is_found_elsewhere_when_its_node_has_gone_or_its_port_is_another() -> None:
    assert found(wanted("NodePort", "nats://10.0.0.9:30422"), [A, B, C])[0] == "nats://10.0.0.1:30422"
    assert found(wanted("NodePort", "nats://10.0.0.1:31000"), [B, C])[0] == "nats://10.0.0.2:30422"
    assert found(wanted("NodePort", "nats://main-0a.switchboard.svc:4222"), [B])[0] == "nats://10.0.0.2:30422"


def test_load_balancer_is_where_it_was_when_its_address_is_not_told() -> None:
    balanced = wanted("LoadBalancer", "nats://192.0.2.7:4222", "nats-leaf://192.0.2.7:7422")
    assert found(balanced, [A]) == ("nats://192.0.2.7:4222", "nats-leaf://192.0.2.7:7422")
    moved = {"ingress": [{"ip": "192.0.2.8"}]}
    assert found(balanced, [A], loadBalancer=moved) == ("nats://192.0.2.8:4222", "nats-leaf://192.0.2.8:7422")
    assert found(wanted("LoadBalancer", "nats://10.0.0.1:30422"), [A])[0] is None


def as_the_server_has_it(rendered: Json) -> Json:
    """With what the API server adds of its own."""
    live = deepcopy(rendered)
    live["metadata"] |= {"uid": "1", "resourceVersion": "7"}
    for port in live.get("spec", {}).get("ports", ()):
        port.setdefault("protocol", "TCP")
        port["nodePort"] = 30422
    for container in live.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
        container |= {"terminationMessagePath": "/dev/termination-log"}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            container[probe] |= {"successThreshold": 1}
    return live


VALUES = {"replicas": 3, "expose": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24"]}, "podLabels": {"a": ""}}
CHANGES: list[tuple[str, str, tuple[str | int, ...], Any]] = [
    ("routes for everybody", "NetworkPolicy", ("spec", "ingress", 1, "from"), None),
    ("a rule more", "NetworkPolicy", ("spec", "ingress"), []),
    ("no budget", "PodDisruptionBudget", ("spec", "maxUnavailable"), "100%"),
    ("another port", "Service", ("spec", "ports", 0, "targetPort"), 22),
    ("open to all", "Service", ("spec", "loadBalancerSourceRanges"), ["0.0.0.0/0"]),
    ("another variable", "StatefulSet", ("spec", "template", "spec", "containers", 0, "env", 0, "name"), "X"),
    ("root", "StatefulSet", ("spec", "template", "spec", "containers", 0, "securityContext", "allowPrivilegeEscalation"), True),
    ("no probe", "StatefulSet", ("spec", "template", "spec", "containers", 0, "readinessProbe"), None),
]


def test_nothing_differs_when_the_api_server_only_says_more() -> None:
    for rendered in render(VALUES):
        if rendered["kind"] in KINDS:
            assert differs(parts_of(rendered), as_the_server_has_it(rendered)) == "", rendered["kind"]


@pytest.mark.parametrize(("kind", "way", "value"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_change_behind_helms_back_is_found_when_somebody_made_it(kind: str, way: tuple[str | int, ...], value: Any) -> None:
    rendered = next(one for one in render(VALUES) if one["kind"] == kind)
    live: Any = as_the_server_has_it(rendered)
    inner = live
    for name in way[:-1]:
        inner = inner[name]
    if value is None:
        del inner[way[-1]]
    else:
        inner[way[-1]] = value
    assert differs(parts_of(rendered), live).startswith("spec.")
