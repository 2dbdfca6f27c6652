"""The order of a deployment, the Secrets it needs, and what tools refuse with."""

import pytest

from infra.cluster.examination import pod
from infra.cluster.manifests import in_order, key_of, namespace_of, secrets_needed
from infra.cluster.parts import scaled
from infra.cluster.plan import is_ours
from infra.cluster.tools import listed, refusal
from shared.domain.errors import (
    Conflict,
    Forbidden,
    Misconfigured,
    NotFound,
    NotProcessable,
    SwitchboardError,
    Unauthenticated,
    Unavailable,
)
from tests.unit.cluster_objects import function, job, thing


def test_each_stage_comes_after_what_it_rests_on_when_objects_are_put_in_order() -> None:
    server = {"app.kubernetes.io/component": "server"}
    objects = [
        thing("Deployment", "logger", "apps/v1"),
        function("route"),
        thing("Service", "gateway"),
        function("ingest"),
        job(),
        thing("StatefulSet", "valkey", "apps/v1", server),
        thing("Service", "valkey", labels=server),
        thing("ConfigMap", "settings"),
        thing("Namespace", "sb"),
    ]
    assert [str(key_of(one)) for one in in_order(objects)] == [
        "namespace/sb",
        "configmap/settings",
        "service/valkey",
        "statefulset.apps/valkey",
        "job.batch/setup",
        "service.serving.knative.dev/ingest",
        "service.serving.knative.dev/route",
        "deployment.apps/logger",
        "service/gateway",
    ]


def test_replicas_are_left_to_keda_when_it_scales_a_deployment() -> None:
    source, logger = (thing("Deployment", name, "apps/v1", spec={"replicas": 2, "template": {}}) for name in ("nats-source", "logger"))
    scaler = thing("ScaledObject", "any", "keda.sh/v1alpha1", spec={"scaleTargetRef": {"name": "nats-source"}})
    assert scaled([source, logger]) == [source, logger]
    assert scaled([source, logger, scaler]) == [{**source, "spec": {"template": {}}}, logger, scaler]


def test_every_way_to_read_a_secret_is_found_when_pods_need_them() -> None:
    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "x"}}}]
    more = [{"name": "B", "valueFrom": {"secretKeyRef": {"name": "a", "key": "y"}}}]
    unneeded = [{"name": "C", "valueFrom": {"secretKeyRef": {"name": "c", "key": "z", "optional": True}}}]
    projected = {"name": "v", "projected": {"sources": [{"secret": {"name": "d", "items": [{"key": "k", "path": "p"}]}}]}}
    one = function(env=[*env, *more, *unneeded], envFrom=[{"secretRef": {"name": "b"}}])
    one["spec"]["template"]["spec"]["volumes"] = [projected]
    assert secrets_needed([one, job()]) == {"a": {"x", "y"}, "b": set(), "d": {"k"}, "switchboard-admin-key": {"key"}}


def test_two_namespaces_are_refused_when_a_cluster_names_them() -> None:
    other = thing("ConfigMap", "x")
    other["metadata"]["namespace"] = "elsewhere"
    with pytest.raises(Misconfigured, match="elsewhere, sb"):
        namespace_of([thing("ConfigMap", "x"), other])


def test_a_namespace_is_not_ours_when_deploy_did_not_make_it() -> None:
    assert is_ours(thing("Namespace", "sb"))
    assert not is_ours({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sb"}})


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('error: context "x" does not exist', Misconfigured),
        ("The connection to the server localhost:8080 was refused - did you specify the right host or port?", Unavailable),
        ("error: You must be logged in to the server (Unauthorized)", Unauthenticated),
        ('Error from server (Forbidden): namespaces "sb" is forbidden: User "x" cannot get resource', Forbidden),
        ('Error from server (NotFound): services "x" not found', NotFound),
        ('Error from server (AlreadyExists): secrets "x" already exists', Conflict),
        ('The StatefulSet "valkey" is invalid: spec: Forbidden: updates to statefulset spec', NotProcessable),
        ('Error from server (BadRequest): admission webhook "validation.webhook" denied the request: must not set', NotProcessable),
        ("something new", SwitchboardError),
    ],
)
def test_a_refusal_says_whose_turn_it_is_when_kubectl_fails(said: str, kind: type[SwitchboardError]) -> None:
    error = refusal("kubectl", f"E1122 18:17:41.930554 noise\nWarning: noise\n{said}\n")
    assert type(error) is kind
    assert error.detail == f"kubectl: {said}"


def test_lists_and_documents_in_a_row_are_all_read_when_kubectl_prints_them() -> None:
    text = '{"kind":"List","items":[{"kind":"A"},{"kind":"B"}]}\n{"kind":"C"}\n'
    assert [one["kind"] for one in listed(text)] == ["A", "B", "C"]
    assert listed("") == []


def test_the_examining_pod_has_a_functions_image_and_settings_when_it_is_made() -> None:
    env = [{"name": "SWITCHBOARD_REDIS_URL", "valueFrom": {"secretKeyRef": {"name": "switchboard-servers", "key": "redis_url"}}}]
    one = function(env=env, envFrom=[{"configMapRef": {"name": "settings"}}], livenessProbe={}, ports=[])
    made = pod("doctor-1", "sb", one, [thing("ConfigMap", "settings", data={"SWITCHBOARD_CLUSTER": "x"})])
    (container,) = made["spec"]["containers"]
    assert container["env"] == [{"name": "SWITCHBOARD_CLUSTER", "value": "x"}, *env]
    assert container["image"] == "core:1"
    assert not {"envFrom", "livenessProbe", "ports"} & container.keys()
