"""An edge of the install under test, in a namespace beside it: brought there and taken away by the same commands."""

import json
from typing import Any

import httpx

from infra.cluster.tools import Cluster
from tests.cluster.install import GONE, LOOK, Done, Install, run
from tests.waiting import eventually_now

HUB, EDGE = "test-hub", "test-edge"
NAMESPACE = "switchboard-edge"  # of knative/clusters/test-edge
NAME = "edge-1"  # its SWITCHBOARD_CLUSTER
SECRET = "switchboard-secret"


class Edge(Install):
    """The edge of `hub`, whose principals and keys are its own too."""

    def __init__(self, hub: Install) -> None:
        super().__init__(Cluster(None, NAMESPACE))
        self.hub = hub

    def from_nothing(self) -> Done:
        """Deploy where nothing is, with the hub's secret."""
        if self.is_there():
            self.undeploy()
        eventually_now(lambda: self.cluster.find(f"namespace/{NAMESPACE}") is None, within=GONE, step=LOOK)
        self.cluster.kubectl("create", "namespace", NAMESPACE)
        secret = {"keys": self.hub.secret(SECRET, "keys")}
        document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": secret}
        self.cluster.kubectl("create", "--filename=-", stdin=json.dumps(document))
        return self.deploy(EDGE)

    def undeploy(self) -> Done:
        """`switchboard deploy --cluster test-edge --undeploy --yes`; then its namespace, which `deploy` didn't make."""
        self.deployed = None
        done = run(*self.command(("deploy", "--cluster", EDGE, "--undeploy", "--yes")))
        self.cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false", "--ignore-not-found")
        return done

    def _look(self) -> None:
        self.key = self.hub.key
        self.url = f"http://{self.address('gateway')}"

    def degraded(self, name: str) -> list[str]:
        """What the pods of a function or pod say they miss; none while no pod answers."""
        said: set[str] = set()
        for pod in self.ready_pods(name):
            try:
                said |= set(httpx.get(f"http://{pod['status']['podIP']}:8080/readyz", timeout=10).json()["degraded"])
            except httpx.TransportError:
                continue
        return sorted(said)

    def new_key(self, name: str, org: str, *grants: str) -> str:
        """A key made at the hub; returns once it is in force at both."""
        key = self.hub.new_key(name, org, *grants)
        with self.client(key) as client:
            eventually_now(lambda: client.post("/v1/events", content=b"no event").status_code == 415, within=30)
        return key


def event(id: str, **changes: Any) -> dict[str, Any]:
    """A structured event."""
    return {"specversion": "1.0", "id": id, "source": "/edge", "type": "edge.test", "data": {"n": 1}} | changes
