"""What scales by KEDA: the total lag of nats-source, asked where it is said."""

import inspect
from urllib.parse import urlsplit

from functions.nats_source import main as nats_source
from tests.manifests.objects import Rendered, named, selects

GAUGE = "switchboard_nats_source_lag"


def test_nats_source_scales_by_what_waits_in_all_streams_when_there_is_keda(rendered: Rendered) -> None:
    objects = rendered["production"]
    scaled = named(objects, "ScaledObject", "nats-source")["spec"]
    assert scaled["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nats-source"}
    deployment = named(objects, "Deployment", "nats-source")
    assert scaled["minReplicaCount"] == deployment["spec"]["replicas"], "the same where there is no KEDA"
    (trigger,) = scaled["triggers"]
    assert (trigger["type"], trigger["metadata"]["valueLocation"]) == ("metrics-api", GAUGE)
    assert f'gauges["{GAUGE.removeprefix("switchboard_")}"]' in inspect.getsource(nats_source.Source), "the gauge is there"
    name, namespace, *_ = str(urlsplit(trigger["metadata"]["url"]).hostname).split(".")
    service = named(objects, "Service", name)
    assert service["metadata"]["namespace"] == namespace == deployment["metadata"]["namespace"]
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_keda_reaches_nats_source_and_nothing_else_when_it_scales_it(rendered: Rendered) -> None:
    objects = rendered["production"]
    policy = named(objects, "NetworkPolicy", "nats-source-scaling")["spec"]
    assert policy["ingress"][0]["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}]
    open_to_keda = [
        one
        for one in objects
        if one["kind"] == "Deployment" and selects(policy["podSelector"], one["spec"]["template"]["metadata"]["labels"])
    ]
    assert [one["metadata"]["name"] for one in open_to_keda] == ["nats-source"]
