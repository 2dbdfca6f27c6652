"""How long `switchboard deploy` waits for what doesn't become ready: no longer than it takes to know."""

from typing import Any

import pytest

from infra.cluster import tools, waiting
from infra.cluster.tools import Cluster
from shared.domain.errors import SwitchboardError
from tests.unit.cluster_objects import SERVING, Object, thing

HOUR = 3600.0  # seconds: nothing here waits for it
CLUSTER = Cluster("here", "sb")
RUNS: Object = {"containerStatuses": [{"name": "c", "restartCount": 3, "state": {"running": {}}, "lastState": {}}]}


def pod(exit_code: int, restarts: int) -> Object:
    ended = {"terminated": {"exitCode": exit_code, "reason": "Error"}}
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    return thing("Pod", "p", status={"containerStatuses": [{"name": "c", "restartCount": restarts, "state": waits, "lastState": ended}]})


def service(ready: str, reason: str = "") -> Object:
    conditions = [{"type": "Ready", "status": ready}, {"type": "ConfigurationsReady", "status": ready, "reason": reason}]
    status = {"observedGeneration": 2, "latestCreatedRevisionName": "ingest-2", "latestReadyRevisionName": "ingest-1"}
    one = thing("Service", "ingest", SERVING, status={**status, "conditions": conditions})
    return {**one, "metadata": {**one["metadata"], "generation": 2}}


def deployment(ready: int) -> Object:
    status = {"observedGeneration": 2, "updatedReplicas": 1, "replicas": 1, "readyReplicas": ready}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "logger"}}}
    one = thing("Deployment", "logger", "apps/v1", spec=spec, status=status)
    return {**one, "metadata": {**one["metadata"], "generation": 2, "annotations": {waiting.ROLLOUT: "2"}}}


def replica_set(number: str) -> Object:
    one = thing("ReplicaSet", f"logger-{number}", "apps/v1", {"pod-template-hash": f"hash-{number}"})
    return {**one, "metadata": {**one["metadata"], "annotations": {waiting.ROLLOUT: number}}}


class Api:
    """What kubectl says: of the object that is waited for one state a look, the last one for good; of pods those of a label's value."""

    def __init__(self, looks: list[Object], pods: dict[str, list[Object]]) -> None:
        self.looks, self.pods, self.looked = looks, pods, 0

    def __call__(self, command: list[str], stdin: str | None = None) -> str:
        assert command[:5] == ["kubectl", "--context", "here", "--namespace", "sb"]
        if command[5] == "logs":
            return "SWITCHBOARD_LOG_SHARDS: must be a number\n"
        what, option = command[6:8]
        if what == "pods":
            return tools.as_list([one for value, found in self.pods.items() if option.endswith(f"={value}") for one in found])
        if what == "replicasets.apps":
            return tools.as_list([replica_set(number) for number in ("1", "2")])
        self.looked += 1
        return tools.as_list([self.looks[min(self.looked, len(self.looks)) - 1]])


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STEP", "SOON"):
        monkeypatch.setattr(waiting, name, 0.0)


def asked(monkeypatch: pytest.MonkeyPatch, looks: list[Object], **pods: list[Object]) -> Api:
    api = Api(looks, {name.replace("_", "-"): found for name, found in pods.items()})
    monkeypatch.setattr(tools, "run", api)
    return api


def test_service_is_given_up_with_its_log_when_its_pods_say_that_an_operator_must_act(monkeypatch: pytest.MonkeyPatch) -> None:
    asked(monkeypatch, [service("Unknown")], ingest_2=[pod(78, restarts=1)])
    with pytest.raises(SwitchboardError, match=r"ingest-1 goes on serving.*exit code 78.*\n.*must be a number"):
        waiting.serving(CLUSTER, service("Unknown"), HOUR)


@pytest.mark.parametrize(
    ("looks", "pods"),
    [
        pytest.param([service("Unknown")] * 3, {"ingest_2": [pod(78, restarts=0)]}, id="once"),
        pytest.param([service("Unknown")] * 3, {"ingest_2": [pod(1, restarts=9)]}, id="for another reason"),
        pytest.param([service("Unknown")] * 3, {"ingest_1": [pod(78, restarts=9)]}, id="of another revision"),
        pytest.param([service("Unknown", "OutOfDate")] * 3, {"ingest_2": [pod(78, restarts=9)]}, id="of the revision before"),
        pytest.param([service("Unknown")] * 3, {"ingest_2": [thing("Pod", "p", status=RUNS)]}, id="and runs now"),
    ],
)
def test_service_is_waited_for_when_its_pods_may_still_start(
    monkeypatch: pytest.MonkeyPatch, looks: list[Object], pods: dict[str, list[Object]]
) -> None:
    api = asked(monkeypatch, [*looks, service("True")], **pods)
    live = waiting.serving(CLUSTER, service("Unknown"), HOUR)
    assert (live["status"]["conditions"][0]["status"], api.looked) == ("True", 4)


def test_deployment_is_given_up_with_its_log_when_its_newest_pods_say_that_an_operator_must_act(monkeypatch: pytest.MonkeyPatch) -> None:
    asked(monkeypatch, [deployment(ready=0)], hash_2=[pod(78, restarts=1)], logger=[pod(78, restarts=1)])
    with pytest.raises(SwitchboardError, match=r"deployment.apps/logger isn't ready after .*exit code 78.*\n.*must be a number"):
        waiting.rolled_out(CLUSTER, deployment(ready=0), HOUR)


def test_deployment_is_waited_for_when_only_pods_of_the_template_before_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[dict[str, Any]] = [deployment(ready=0), deployment(ready=0), deployment(ready=1)]
    api = asked(monkeypatch, looks, hash_1=[pod(78, restarts=9)], logger=[pod(78, restarts=9)])
    waiting.rolled_out(CLUSTER, deployment(ready=0), HOUR)
    assert api.looked == 3
