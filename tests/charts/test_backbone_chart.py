"""charts/backbone by what it means: real helm, the schemas of an API server, and the real nats-server's word on its configuration."""

from pathlib import Path
from typing import Any

import pytest

from shared.trust.backbone import BackboneTrust
from tests.charts.rendering import NAMESPACE, RELEASE, Json, Refused, lint, nats_conf, notes, one, render, taken
from tests.manifests.schemas import faults

THREE = {"replicas": 3}
HUB = {"leafnodes": {"enabled": True, "host": "hub.example:7422"}}
REMOTE = {"urls": ["nats-leaf://hub.example:7422"], "account": "A" + "B" * 55, "credentialsSecret": "hub-leaf"}
LEAF = {"leafnodes": {"remotes": [REMOTE]}, "jetstream": {"domain": "leaf"}}
OPERATOR = {"auth": {"secret": "operator", "checksum": "abc123"}}
SERVER = BackboneTrust("eu-1", b"m" * 32).server
TOKENS = {"operator": SERVER.operator, "systemAccount": SERVER.system_account, "accounts": dict(SERVER.accounts)}
TLS = {"tls": {"secret": "server-tls", "verify": True}}
METRICS = {"metrics": {"enabled": True, "podMonitor": True}}
EXPOSED = {"expose": {"type": "LoadBalancer", "host": "nats.example:4222", "loadBalancerSourceRanges": ["192.0.2.0/24"]}}
MEMORY = {"jetstream": {"storage": "memory", "size": "512Mi"}}

WAYS: dict[str, Json] = {
    "as it comes": {},
    "three servers": THREE,
    "hub": HUB,
    "leaf": LEAF,
    "operator": OPERATOR,
    "operator's tokens": {"auth": TOKENS},
    "three servers with tokens": THREE | HUB | {"auth": TOKENS},
    "tls": TLS | HUB,
    "metrics": METRICS,
    "load balancer": EXPOSED,
    "node port": {"expose": {"type": "NodePort", "nodePort": 30422}},
    "memory": MEMORY,
    "as much as may be": {
        "limits": {"maxConnections": 10_000_000, "maxPayload": "64MB", "maxControlLine": "9MB"},
        "jetstream": {"size": "999999Ti"},
    },
    "names like numbers": {"priorityClassName": "1e3", "jetstream": {"storageClass": "null"}, "imagePullSecrets": [{"name": "0"}]},
    "everything": THREE | {"leafnodes": {"enabled": True, "remotes": [REMOTE]}} | OPERATOR | TLS | METRICS | EXPOSED,
}


@pytest.mark.parametrize("values", WAYS.values(), ids=list(WAYS))
def test_api_server_would_take_it_when_values_can_work(values: Json) -> None:
    assert lint(values).returncode == 0
    for each in render(values):
        assert faults(each) == [], each["kind"]
        assert each["metadata"]["namespace"] == NAMESPACE
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "switchboard"
        assert labels["app.kubernetes.io/instance"] == RELEASE


@pytest.mark.parametrize("way", [name for name in WAYS if name not in ("leaf", "operator", "tls", "everything")])
def test_server_takes_its_configuration_when_values_can_work(way: str, tmp_path: Path) -> None:
    assert taken(nats_conf(render(WAYS[way])), tmp_path) == ""


REFUSED: list[tuple[str, Json, str]] = [
    ("two servers", {"replicas": 2}, "replicas"),
    ("no servers", {"replicas": 0}, "replicas"),
    ("no storage", {"jetstream": {"storage": "none"}}, "storage"),
    ("storage of nothing", {"jetstream": {"size": "0Gi"}}, "size"),
    ("size without a unit", {"jetstream": {"size": "10"}}, "size"),
    ("size of another sort", {"jetstream": {"size": 10}}, "size"),
    ("no jetstream", {"jetstream": None}, "jetstream"),
    ("another exposure", {"expose": {"type": "ExternalName"}}, "type"),
    ("node port inside", {"expose": {"type": "ClusterIP", "nodePort": 30422}}, "nodePort"),
    ("clients verified without TLS", {"tls": {"verify": True}}, "verify"),
    ("monitor without metrics", {"metrics": {"podMonitor": True}}, "podMonitor"),
    ("remote with a password", {"leafnodes": {"remotes": [{"urls": ["nats-leaf://user:pass@hub:7422"]}]}}, "urls"),
    ("remote without a URL", {"leafnodes": {"remotes": [{"urls": []}]}}, "urls"),
    ("remote's own deny rules", {"leafnodes": {"remotes": [REMOTE | {"deny_imports": []}]}}, "deny_imports"),
    ("account that is none", {"leafnodes": {"remotes": [REMOTE | {"account": 'A" }'}]}}, "account"),
    ("a line more in a domain", {"jetstream": {"domain": 'x"\nauthorization: {}'}}, "domain"),
    ("a line more in a host", {"expose": {"host": 'x:1"\nhttp: 0.0.0.0:80'}}, "host"),
    ("a template in a name", {"auth": {"secret": "{{ .Release.Name }}"}}, "secret"),
    ("a misspelt value", {"replica": 3}, "replica"),
    ("payload without a unit", {"limits": {"maxPayload": "4194304"}}, "maxPayload"),
    ("more than a number holds", {"jetstream": {"size": "9999999999Ti"}}, "size"),
    ("more than a server takes", {"limits": {"maxPayload": "65MB"}}, "maxPayload"),
    ("a label that is the chart's", {"podLabels": {"app.kubernetes.io/instance": "other"}}, "podLabels"),
    ("an annotation that is the chart's", {"podAnnotations": {"checksum/config": "x"}}, "podAnnotations"),
    ("a label that is none", {"podLabels": {"not a name": "x"}}, "podLabels"),
    ("tokens and a Secret", {"auth": TOKENS | {"secret": "operator"}}, "secret"),
    ("an operator of no accounts", {"auth": TOKENS | {"accounts": {}}}, "accounts"),
    ("an operator without the servers' account", {"auth": TOKENS | {"systemAccount": ""}}, "systemAccount"),
    ("accounts of no operator", {"auth": TOKENS | {"operator": ""}}, "accounts"),
    ("an operator that is none", {"auth": TOKENS | {"operator": 'x"\nlisten: 1'}}, "operator"),
    ("a token that is none", {"auth": TOKENS | {"accounts": {SERVER.account: "x y"}}}, "accounts"),
    ("a key that climbs", {"leafnodes": {"remotes": [REMOTE | {"credentialsKey": "a/b"}]}}, "credentialsKey"),
    ("folder that climbs", {"local": {"configDir": "/srv/../etc"}}, "configDir"),
]


@pytest.mark.parametrize(("values", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_chart_is_refused_when_a_value_cannot_work(values: Json, field: str) -> None:
    with pytest.raises(Refused, match=field):
        render(values)


def test_servers_find_each_other_when_there_are_three() -> None:
    objects = render(THREE)
    conf, stateful = nats_conf(objects), one(objects, "StatefulSet")
    headless = one(objects, "Service", f"{RELEASE}-pods")
    assert [f'"nats-route://{RELEASE}-{number}.{RELEASE}-pods:6222"' in conf for number in range(3)] == [True] * 3
    assert stateful["spec"]["serviceName"] == headless["metadata"]["name"]
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"] is True
    assert one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    (spread,) = stateful["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert spread["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"


def test_backbone_has_no_routes_and_no_budget_when_it_is_one_server() -> None:
    objects = render({})
    assert "cluster {" not in nats_conf(objects)
    assert not [each for each in objects if each["kind"] == "PodDisruptionBudget"]


def test_leaf_keeps_what_is_ours_to_itself_when_it_is_joined() -> None:
    conf = nats_conf(render(LEAF))
    ours = '["sb.>", "submit.>", "request.>"]'
    assert f"deny_imports: {ours}" in conf
    assert f"deny_exports: {ours}" in conf
    assert 'credentials: "/etc/nats/remotes/0/creds"' in conf
    assert 'domain: "leaf"' in conf


def test_secret_reaches_the_server_when_it_is_named() -> None:
    other = REMOTE | {"credentialsSecret": "hubs", "credentialsKey": "hub-0a"}
    objects = render(OPERATOR | TLS | {"leafnodes": {"remotes": [REMOTE, other]}})
    pod = one(objects, "StatefulSet")["spec"]["template"]
    projected = next(volume for volume in pod["spec"]["volumes"] if volume["name"] == "config")["projected"]["sources"]
    secrets = [source["secret"] for source in projected if "secret" in source]
    files = {item["path"]: secret["name"] for secret in secrets for item in secret["items"]}
    keys = {item["path"]: item["key"] for secret in secrets for item in secret["items"]}
    assert (keys["remotes/0/creds"], keys["remotes/1/creds"]) == ("creds", "hub-0a")
    assert files == {
        "auth/auth.conf": "operator",
        "tls/tls.crt": "server-tls",
        "tls/tls.key": "server-tls",
        "tls/ca.crt": "server-tls",
        "remotes/0/creds": "hub-leaf",
        "remotes/1/creds": "hubs",
    }
    assert "include auth/auth.conf" in nats_conf(objects)
    assert pod["metadata"]["annotations"]["checksum/auth"] == "abc123"
    assert not [each for each in objects if each["kind"] == "Secret"]


@pytest.mark.parametrize(("values", "rolls"), [({"limits": {"maxPayload": "8MB"}}, True), ({"expose": {"type": "NodePort"}}, False)])
def test_pods_roll_when_their_configuration_is_another(values: Json, rolls: bool) -> None:
    def checksum(values: Json) -> Any:
        return one(render(values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    assert (checksum(values) != checksum({})) is rolls


def test_container_may_do_nothing_but_its_work_when_it_runs() -> None:
    pod = one(render(METRICS), "StatefulSet")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == wanted
        assert {"readinessProbe", "livenessProbe", "resources"} <= set(container)


def test_routes_and_monitoring_are_for_the_own_pods_when_there_is_a_policy() -> None:
    rules = one(render(THREE | HUB), "NetworkPolicy")["spec"]["ingress"]
    froms = {port["port"]: rule.get("from") for rule in rules for port in rule["ports"]}
    assert froms["nats"] is None
    assert froms["leafnodes"] is None
    (own,) = froms["routes"]
    assert own["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == RELEASE
    assert froms["monitor"] == [{"podSelector": {}}]


def test_streams_have_nine_tenths_when_a_volume_has_a_size() -> None:
    objects = render({"jetstream": {"size": "10Gi"}})
    assert "max_file_store: 9216Mi" in nats_conf(objects)
    (claim,) = one(objects, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"


def test_nothing_is_kept_on_a_volume_when_storage_is_memory() -> None:
    objects = render(MEMORY)
    assert "max_memory_store: 471859Ki" in nats_conf(objects)
    assert "volumeClaimTemplates" not in one(objects, "StatefulSet")["spec"]


def test_name_is_a_name_when_yaml_would_take_it_for_something_else() -> None:
    objects = render(
        {"priorityClassName": "1e3", "jetstream": {"storageClass": "null"}, "tls": {"secret": "true"}, "auth": {"secret": "0x1f"}}
    )
    stateful = one(objects, "StatefulSet")["spec"]
    pod = stateful["template"]["spec"]
    projected = next(volume for volume in pod["volumes"] if volume["name"] == "config")["projected"]["sources"]
    secrets = [source["secret"]["name"] for source in projected if "secret" in source]
    (claim,) = stateful["volumeClaimTemplates"]
    assert (pod["priorityClassName"], claim["spec"]["storageClassName"], secrets) == ("1e3", "null", ["0x1f", "true"])


def test_person_is_told_where_it_is_when_it_is_installed(tmp_path: Path) -> None:
    text = notes(EXPOSED, tmp_path / "open")
    assert f"nats://{RELEASE}.{NAMESPACE}.svc:4222" in text
    assert "nats.example:4222" in text
    assert "Neither auth.operator nor auth.secret is set" in text
    assert "No auth.secret is set" not in notes(OPERATOR, tmp_path / "operator")
