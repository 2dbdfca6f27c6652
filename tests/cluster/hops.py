"""What the stages behind the Broker were asked and said: by a Trigger that sees every event, and by their own counters."""

import json
from typing import Any

import httpx

from infra.cluster.tools import Cluster
from shared.stages import events as wire
from tests.cluster.clients import Clients
from tests.cluster.install import NAMESPACE, Install

INGRESS = Cluster(None, "knative-eventing")
BROKER = "switchboard"
TRIGGER = "watched-by-tests"
STAGES = ("check-constraints", "route")


class Watch:
    """A Trigger beside the install's own, for all that is in its Broker: a receiver keeps it."""

    def __init__(self, install: Install, clients: Clients) -> None:
        self._install, self._clients = install, clients

    def start(self) -> None:
        uri = f"http://receiver.{self._clients.namespace}.svc.cluster.local/watched"
        trigger = {
            "apiVersion": "eventing.knative.dev/v1",
            "kind": "Trigger",
            "metadata": {"name": TRIGGER},
            "spec": {"broker": BROKER, "subscriber": {"uri": uri}},
        }
        self._install.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(trigger))
        self._install.cluster.kubectl("wait", f"trigger/{TRIGGER}", "--for=condition=Ready", "--timeout=60s")

    def stop(self) -> None:
        self._install.cluster.kubectl("delete", "trigger", TRIGGER, "--ignore-not-found", "--wait=false")

    def seen(self, type: str, message_id: str) -> list[dict[str, Any]]:
        """The events of a type about a message."""
        found = [one["headers"] for one in self._clients.received("/watched")]
        return [one for one in found if (one.get("ce-type"), one.get("ce-subject")) == (type, message_id)]


class Tally:
    """The counters of the stages' pods since it was made, pods included that scaled to zero meanwhile. Look often enough."""

    def __init__(self, install: Install) -> None:
        self._install = install
        self._pods: dict[tuple[str, str], dict[str, float]] = {}
        self.look()
        self._before = {series: self._total(series) for series in self._series()}

    def look(self) -> None:
        for name in STAGES:
            for pod in self._install.ready_pods(name):
                try:
                    text = httpx.get(f"http://{pod['status']['podIP']}:8080/metrics", timeout=5).text
                except httpx.TransportError:  # it is ending
                    continue
                lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
                self._pods[name, pod["metadata"]["name"]] = {f"{name} {series}": float(value) for series, _, value in lines}

    def __call__(self, stage: str, *words: str) -> float:
        """How much more there is now, of the stage's series that have all these words in them."""
        self.look()
        some = [series for series in self._series() if series.startswith(stage) and all(word in series for word in words)]
        return sum(self._total(series) - self._before.get(series, 0.0) for series in some)

    def refused(self, stage: str, kind: str = "") -> float:
        """How many more requests the stage has refused."""
        return self(stage, "switchboard_events_refused_total", f'kind="{kind}' if kind else "")

    def _series(self) -> set[str]:
        return {series for found in self._pods.values() for series in found}

    def _total(self, series: str) -> float:
        return sum(found.get(series, 0.0) for found in self._pods.values())


def into_broker(event: wire.Event) -> None:
    """An event into the install's Broker, as it is. Over the in-memory channel the answer comes once it is delivered, retries included."""
    service = INGRESS.find("service/broker-ingress")
    assert service is not None
    url = f"http://{service['spec']['clusterIP']}/{NAMESPACE}/{BROKER}"
    answer = httpx.post(url, content=wire.encode(event), headers={"content-type": wire.STRUCTURED}, timeout=150)
    assert answer.status_code == 202, answer.text
