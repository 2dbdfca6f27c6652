"""Who reaches whom: visibility, stages, the gateway, ports, network policies."""

import json
import re

from functions.pipeline import STEPS
from infra.render import gateway_server
from shared.routes import ROUTES
from tests.manifests.objects import (
    KNATIVE,
    NEW_PODS,
    Json,
    Rendered,
    is_service,
    label,
    named,
    namespace_of,
    pod_of,
    selects,
    there,
    with_pods,
)

PUBLIC = {"ingest", "query", "config-crud", "registry-crud"}
PROVEN = {"log-batch"}  # what other clusters reach through the gateway, under proofs; not public itself


def test_only_what_clients_call_is_public_when_functions_are_deployed(rendered: Rendered) -> None:
    assert {route.function.replace("_", "-") for route in ROUTES} - {"websocket"} == PUBLIC | PROVEN
    for cluster, objects in rendered.items():
        services = {one["metadata"]["name"]: one for one in objects if is_service(one)}
        hidden = {
            name for name, one in services.items() if one["metadata"]["labels"].get("networking.knative.dev/visibility") == "cluster-local"
        }
        assert services.keys() - hidden == there(cluster, PUBLIC)


def test_stage_is_called_where_it_is_when_the_wiring_is_remote(rendered: Rendered) -> None:
    settings = {"check-constraints": "CHECK", "route": "ROUTE"}
    assert set(settings) == {step.function for step in STEPS}
    ingest = pod_of(named(rendered["test-remote"], "Service", "ingest", KNATIVE))["containers"][0]["env"]
    logger = pod_of(named(rendered["test-remote"], "Deployment", "logger"))["containers"][0]["env"]
    values = {one["name"]: one.get("value") for one in (*ingest, *logger)}
    for stage, name in {**settings, "log-batch": "LOG_BATCH"}.items():
        assert values[f"SWITCHBOARD_{name}_URL"] == f"http://{stage}.$(NAMESPACE).svc.cluster.local"
        assert named(rendered["test-remote"], "Service", stage, KNATIVE)
    assert "SWITCHBOARD_CHECK_URL" not in json.dumps(rendered["test"])


def test_gateway_knows_nothing_but_public_functions_and_pods_when_it_is_configured(rendered: Rendered) -> None:
    for cluster, objects in rendered.items():
        config = json.loads(_gateway_files(objects)["envoy.json"])
        addresses = re.findall(rf'"address": "([a-z-]+)\.{namespace_of(cluster)}\.svc\.cluster\.local"', json.dumps(config))
        assert set(addresses) == there(cluster, PUBLIC | PROVEN | {"websocket"})
        assert all(named(objects, "Service", name) for name in addresses)


def _gateway_files(objects: list[Json]) -> dict[str, str]:
    name = pod_of(named(objects, "Deployment", "gateway"))["volumes"][0]["configMap"]["name"]
    return dict(named(objects, "ConfigMap", name)["data"])


def test_gateway_serves_the_documents_of_switchboard_up_when_it_is_configured(rendered: Rendered) -> None:
    files = _gateway_files(rendered["production"])
    assert set(files) == {"envoy.json", "openapi.json", "docs.html"}
    assert {"/v1/events", "/v1/messages", "/v1/config/principals/{name}"} <= set(json.loads(files["openapi.json"])["paths"])
    assert '"filename": "/etc/envoy/openapi.json"' in files["envoy.json"]
    assert sum(len(text) for text in files.values()) < 900_000  # a ConfigMap has 1 MiB


def test_trusted_proxies_are_the_clusters_own_when_the_gateway_is_configured(rendered: Rendered) -> None:
    hops = {
        cluster: re.findall(r'"xff_num_trusted_hops": (\d)', _gateway_files(objects)["envoy.json"])[0]
        for cluster, objects in rendered.items()
    }
    assert hops == {cluster: "1" if cluster == "production" else "0" for cluster in rendered}


def test_ports_agree_when_a_service_leads_to_apod_of(rendered: Rendered) -> None:
    for cluster, objects in rendered.items():
        gateway = pod_of(named(objects, "Deployment", "gateway"))["containers"][0]
        assert [port["containerPort"] for port in gateway["ports"]] == [gateway_server.PORT, gateway_server.STATS_PORT]
        for each in objects:
            if each["kind"] == "Service" and not is_service(each):
                name, selector = each["metadata"]["name"], each["spec"]["selector"].items()
                pods = [
                    one for one in objects if one["kind"] in NEW_PODS and selector <= one["spec"]["template"]["metadata"]["labels"].items()
                ]
                assert len(pods) == 1, f"{cluster}: {name}"
                ports = {port["name"] for port in pod_of(pods[0])["containers"][0]["ports"]}
                assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports, f"{cluster}: {name}"


def test_network_policy_says_who_reaches_a_pod_when_it_has_ports(rendered: Rendered) -> None:
    for cluster, objects in rendered.items():
        policies = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "NetworkPolicy"}
        everything = policies.pop("default-deny")
        assert everything == {"podSelector": {}, "policyTypes": ["Ingress"]}
        used = set()
        for name, each in with_pods({cluster: objects}):
            own = {
                policy for policy, spec in policies.items() if selects(spec["podSelector"], each["spec"]["template"]["metadata"]["labels"])
            }
            used |= own
            assert own or each["kind"] == "Job", name
            if not is_service(each) and label(each, "component") != "server":
                opened = {port["port"] for policy in own for rule in policies[policy].get("ingress", ()) for port in rule["ports"]}
                there = {port["containerPort"] for part in pod_of(each)["containers"] for port in part.get("ports", ())}
                assert opened <= there | {9091, 9902, 8080}, name
        assert used == policies.keys()
