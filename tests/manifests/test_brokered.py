"""The brokered wiring: Triggers are the steps of functions/pipeline.py, and nothing of it is there without its overlay."""

import pytest

from functions.pipeline import STEPS
from shared.routes import function_of
from tests.manifests.objects import KNATIVE, Json, Rendered, named, pod_of

KINDS = ("Broker", "Trigger", "SinkBinding")


def _service(name: str) -> Json:
    return {"apiVersion": KNATIVE, "kind": "Service", "name": name}


def test_trigger_leads_to_each_step_when_the_wiring_is_brokered(rendered: Rendered) -> None:
    triggers = [one["spec"] for one in rendered["test-brokered"] if one["kind"] == "Trigger"]
    found = {(one["subscriber"]["ref"]["name"], one["filter"]["attributes"]["type"]) for one in triggers}
    assert found == {(step.function, step.on) for step in STEPS}
    assert len(triggers) == len(STEPS)
    assert all(one["filter"] == {"attributes": {"type": one["filter"]["attributes"]["type"]}} for one in triggers)
    for step in STEPS:
        assert named(rendered["test-brokered"], "Service", step.function, KNATIVE)
    taken = {step.on for step in STEPS}
    emitted = {type for step in STEPS for type in step.emits}
    assert taken - emitted == {STEPS[0].on}, "ingest emits the first, and each step's answer is the next one's event"


def test_event_is_sent_again_and_its_end_is_named_when_a_stage_fails(rendered: Rendered) -> None:
    (broker,) = [one for one in rendered["test-brokered"] if one["kind"] == "Broker"]
    assert {one["spec"]["broker"] for one in rendered["test-brokered"] if one["kind"] == "Trigger"} == {broker["metadata"]["name"]}
    delivery = broker["spec"]["delivery"]
    assert (delivery["retry"], delivery["backoffPolicy"]) == (8, "exponential")
    assert delivery["deadLetterSink"]["ref"] == _service("check-constraints")
    assert delivery["deadLetterSink"]["uri"] == "/dead-letters"


def test_ingest_is_told_of_the_broker_when_the_wiring_is_brokered(rendered: Rendered) -> None:
    objects = rendered["test-brokered"]
    binding = named(objects, "SinkBinding", "ingest")["spec"]
    assert {name: binding["subject"][name] for name in _service("ingest")} == _service("ingest")
    assert binding["sink"]["ref"]["name"] == "switchboard"
    for stage in ("check-constraints", "route"):
        names = {one["name"] for one in pod_of(named(objects, "Service", stage, KNATIVE))["containers"][0]["env"]}
        assert "SWITCHBOARD_REDIS_URL" in names, f"{stage} has no log"
    ingest = {one["name"] for one in pod_of(named(objects, "Service", "ingest", KNATIVE))["containers"][0]["env"]}
    assert not ingest & {"K_SINK", "SWITCHBOARD_CHECK_URL", "SWITCHBOARD_ROUTE_URL"}


@pytest.mark.parametrize("source", ["redis-source", "nats-source"])
def test_source_hands_its_events_to_ingest_when_it_has_a_sink(rendered: Rendered, source: str) -> None:
    objects = rendered["test-brokered"]
    binding = named(objects, "SinkBinding", source)["spec"]
    assert binding["subject"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": source}
    assert named(objects, "Deployment", source)
    assert binding["sink"] == {"ref": _service("ingest"), "uri": "/v1/events"}
    assert function_of("POST", binding["sink"]["uri"]) == "ingest"


def test_senders_places_can_be_reached_by_whoever_gives_the_verdict_when_the_wiring_is_brokered(rendered: Rendered) -> None:
    check = pod_of(named(rendered["test-brokered"], "Service", "check-constraints", KNATIVE))["containers"][0]["env"]
    logger = pod_of(named(rendered["test-brokered"], "Deployment", "logger"))["containers"][0]["env"]
    for env in (check, logger):
        assert {"SWITCHBOARD_NATS_URL", "SWITCHBOARD_REDIS_URL", "SWITCHBOARD_REDIS_DOOR_URL"} <= {one["name"] for one in env}


def test_there_is_no_broker_when_a_cluster_does_not_name_the_overlay(rendered: Rendered) -> None:
    for cluster, objects in rendered.items():
        assert any(one["kind"] in KINDS for one in objects) == (cluster == "test-brokered")
