"""A hub and its edge: what edges need of a hub, and what an edge is without."""

import itertools
import json
from pathlib import Path

from shared.routes import ANY, ROUTES, function_of, routes_of
from tests.manifests.envoy import ask, running, serving, upstream
from tests.manifests.objects import EDGES, KNATIVE, Json, Rendered, named, pod_of

HUBS = ("test-hub",)
OF_AN_EDGE = ("ingest", "websocket")  # of the functions that the gateway leads to


def _annotations(objects: list[Json], function: str) -> dict[str, str]:
    found = named(objects, "Service", function, KNATIVE)["spec"]["template"]["metadata"]["annotations"]
    return {name.removeprefix("autoscaling.knative.dev/"): value for name, value in found.items()}


def _variables(each: Json) -> set[str]:
    return {one["name"] for one in pod_of(each)["containers"][0]["env"]}


def _settings(objects: list[Json]) -> dict[str, str]:
    (found,) = [one for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"].startswith("switchboard-settings-")]
    return dict(found["data"])


def test_long_polls_wait_for_nothing_but_a_change_when_a_cluster_is_a_hub(rendered: Rendered) -> None:
    for hub in HUBS:
        config = named(rendered[hub], "Service", "config-crud", KNATIVE)
        assert pod_of(config)["containerConcurrency"] == 0
        scale = _annotations(rendered[hub], "config-crud")
        assert (scale["min-scale"], scale["target-burst-capacity"]) == ("1", "0")
        assert int(scale["target"]) >= 100
        assert _annotations(rendered[hub], "log-batch")["min-scale"] == "1"


def test_what_edges_log_is_on_the_feed_when_a_cluster_is_a_hub(rendered: Rendered) -> None:
    for cluster, objects in rendered.items():
        if cluster not in EDGES:
            rows = named(objects, "Service", "log-batch", KNATIVE)
            assert ("SWITCHBOARD_REDIS_URL" in _variables(rows)) == (cluster in HUBS), cluster


def test_keys_of_edges_own_are_mounted_where_edges_ask_and_are_let_in_when_a_cluster_is_a_hub(rendered: Rendered) -> None:
    for cluster, objects in rendered.items():
        having = set()
        for each in objects:
            if (each["apiVersion"].startswith(KNATIVE) and each["kind"] == "Service") or each["kind"] == "Deployment":
                pod = pod_of(each)
                [container, *_], volumes = pod["containers"], {one["name"]: one for one in pod.get("volumes", ())}
                if "edges" in volumes:
                    having.add(each["metadata"]["name"])
                    assert volumes["edges"]["secret"] == {"secretName": "switchboard-edge-keys", "optional": True}
                    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "edges"]
                    assert {"name": "SWITCHBOARD_EDGE_KEYS", "value": mount["mountPath"]} in container["env"]
                    assert mount["readOnly"] is True
        assert having == ({"config-crud", "log-batch", "registry-crud", "reconcile-backbones"} if cluster in HUBS else set()), cluster


def test_sources_are_there_when_a_cluster_is_an_edge(rendered: Rendered) -> None:
    for edge in EDGES:
        for source in ("redis-source", "nats-source"):
            assert "SWITCHBOARD_NATS_URL" in _variables(named(rendered[edge], "Deployment", source))


def test_nothing_leads_to_a_database_when_a_cluster_is_an_edge(rendered: Rendered) -> None:
    for edge in EDGES:
        text = json.dumps([one for one in rendered[edge] if not one["metadata"]["name"].startswith("gateway-envoy")])
        assert [word for word in ("database_url", "DATABASE", "postgres", "admin-key") if word in text] == [], edge
        assert "SWITCHBOARD_REDIS_URL" in _variables(named(rendered[edge], "Service", "ingest", KNATIVE))


def test_edge_says_its_name_and_where_its_hub_is_when_it_is_rendered(rendered: Rendered) -> None:
    for cluster, objects in rendered.items():
        settings = _settings(objects)
        assert ("SWITCHBOARD_HUB_URL" in settings) == (cluster in EDGES), cluster
    names = [_settings(rendered[cluster])["SWITCHBOARD_CLUSTER"] for cluster in (*EDGES, *HUBS)]
    assert len({*names, "local"}) == len(names) + 1


def test_gateway_leads_to_what_is_there_alone_when_a_cluster_is_an_edge(tmp_path: Path) -> None:
    table = routes_of(OF_AN_EDGE)
    paths = dict.fromkeys(path for route in ROUTES for path in (route.prefix, f"{route.prefix.rstrip('/')}/below"))
    with serving(upstream("ingest")) as ingest, serving(upstream("websocket")) as websocket:
        ports = {"ingest": ingest, "websocket": websocket}
        with running(ports, tmp_path, functions=OF_AN_EDGE) as gateway:
            found = {}
            for method, path in itertools.product(ANY, paths):
                reply = ask(gateway, method, path)
                found[method, path] = reply.headers.get("x-upstream") if reply.status == 200 else None
                assert reply.status in (200, 404, 405), (method, path)
    assert found == {(method, path): function_of(method, path, table) for method, path in found}
    assert found["PUT", "/v1/config/below"] is None
    assert set(found.values()) == {*OF_AN_EDGE, None}


def test_documents_are_of_what_is_there_when_a_cluster_is_an_edge(rendered: Rendered) -> None:
    for edge in EDGES:
        (files,) = [one["data"] for one in rendered[edge] if one["metadata"]["name"].startswith("gateway-envoy")]
        paths = json.loads(files["openapi.json"])["paths"]
        assert "/v1/events" in paths
        assert [path for path in paths if path.startswith(("/v1/config", "/v1/messages", "/v1/clusters"))] == []
