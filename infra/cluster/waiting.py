"""Waiting on the cluster until what was applied is ready, and saying why when it doesn't become so."""

import time
from collections.abc import Callable, Iterator, Mapping

from infra.cluster.manifests import key_of, labels_of
from infra.cluster.tools import Cluster, Manifest
from shared.domain.errors import NotFound, SwitchboardError

STEP = 0.5  # seconds between two looks
FALSE_FOR = 20.0  # seconds that "not ready" must last: a node may be full until the old pods are gone
LOG_LINES = 12
SOON = 5.0  # seconds that a start usually has done with: only then pods are asked
ROLLOUT, TEMPLATE = "deployment.kubernetes.io/revision", "pod-template-hash"  # a Deployment's, of its ReplicaSets and their pods
MISCONFIGURED = 78  # how our processes end where an operator must act (contracts.md): trying again helps nobody


def rolled_out(cluster: Cluster, one: Manifest, timeout: float) -> None:
    """Wait until a StatefulSet or Deployment runs its newest template. Raises SwitchboardError with what its pods say, and without
    waiting any longer once they end because an operator must act."""
    began = time.monotonic()
    while not _is_rolled_out(live := _again(cluster, one)):
        waited = time.monotonic() - began
        if waited > timeout or (waited > SOON and _given_up(cluster, _newest_pods(cluster, live))):
            why = "; ".join(pod_troubles(cluster, _selector(live["spec"]["selector"]["matchLabels"]))) or "its pods don't say why"
            raise SwitchboardError(f"{key_of(one)} isn't ready after {waited:.0f} s: {why}")
        time.sleep(STEP)


def _newest_pods(cluster: Cluster, live: Manifest) -> str:
    """The selector of the pods of a Deployment's newest template; empty while it isn't known, and for other kinds."""
    if live["kind"] != "Deployment" or live.get("status", {}).get("observedGeneration") != live["metadata"]["generation"]:
        return ""
    labels, newest = live["spec"]["selector"]["matchLabels"], (live["metadata"].get("annotations") or {}).get(ROLLOUT)
    sets = cluster.get("replicasets.apps", f"--selector={_selector(labels)}")
    hashes = [labels_of(one)[TEMPLATE] for one in sets if newest and (one["metadata"].get("annotations") or {}).get(ROLLOUT) == newest]
    return _selector({**labels, TEMPLATE: hashes[0]}) if hashes else ""


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _is_rolled_out(one: Manifest) -> bool:
    wanted, status = one["spec"].get("replicas", 1), one.get("status", {})
    newest = status.get("updatedReplicas", 0) == wanted and status.get("observedGeneration") == one["metadata"]["generation"]
    return bool(newest and status.get("readyReplicas", 0) == wanted and status.get("replicas", 0) == wanted)


def finished(cluster: Cluster, job: Manifest, timeout: float) -> None:
    """Wait until a Job is complete. Raises SwitchboardError with the end of its log when it fails, or isn't in time."""
    name = job["metadata"]["name"]
    deadline = time.monotonic() + timeout
    while True:
        conditions = {
            each["type"]: each for each in _again(cluster, job).get("status", {}).get("conditions") or () if each["status"] == "True"
        }
        if "Complete" in conditions:
            return
        failed = conditions.get("Failed", {}).get("message")
        if failed or time.monotonic() > deadline:
            why = [failed or f"not done after {timeout:.0f} s", *pod_troubles(cluster, f"batch.kubernetes.io/job-name={name}")]
            raise SwitchboardError(f"{key_of(job)} failed: {'; '.join(why)}")
        time.sleep(STEP)


def serving(cluster: Cluster, service: Manifest, timeout: float) -> Manifest:
    """Wait until a Knative Service is ready with its newest revision, and return it. Raises SwitchboardError with what it says; at once
    when the revision's pods end because an operator must act, of which Knative itself says nothing for two minutes."""
    began, bad_since = time.monotonic(), None
    while True:
        live = _again(cluster, service)
        status = live.get("status", {})
        ready = condition(live, "Ready") if status.get("observedGeneration") == live["metadata"]["generation"] else {}
        if ready.get("status") == "True":
            return live
        now = time.monotonic()
        bad_since = (bad_since or now) if ready.get("status") == "False" else None
        late = now - began > timeout or (bad_since is not None and now - bad_since > FALSE_FOR)
        if late or (now - began > SOON and _given_up(cluster, _newest_revision(live) if ready else "")):
            raise SwitchboardError(not_ready(cluster, live))
        time.sleep(STEP)


def _newest_revision(live: Manifest) -> str:
    """The selector of the pods of a Service's newest revision; empty while its Configuration has yet to make that."""
    newest = live["status"].get("latestCreatedRevisionName")
    return (
        f"serving.knative.dev/revision={newest}" if newest and condition(live, "ConfigurationsReady").get("reason") != "OutOfDate" else ""
    )


def _given_up(cluster: Cluster, selector: str) -> bool:
    """Whether a pod of the selector ended, more than once, as our processes do where an operator must act. Once may be a Secret whose
    new value the kubelet has yet to bring."""
    pods = cluster.get("pods", f"--selector={selector}") if selector else []
    containers = [one for pod in pods for one in pod.get("status", {}).get("containerStatuses") or ()]
    return any(one.get("restartCount", 0) >= 1 and _exit_code(one) == MISCONFIGURED for one in containers)


def _exit_code(container: Manifest) -> int | None:
    """How a container ended that isn't running; None for one that runs or was never started."""
    if "running" in container.get("state", {}):
        return None
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated") or {}
    code: int | None = ended.get("exitCode")
    return code


def eventing_ready(cluster: Cluster, one: Manifest, timeout: float) -> None:
    """Wait until a Broker, Trigger or SinkBinding is ready. Raises SwitchboardError with what it says."""
    deadline = time.monotonic() + timeout
    while True:
        live = _again(cluster, one)
        status = live.get("status", {})
        ready = condition(live, "Ready") if status.get("observedGeneration") == live["metadata"]["generation"] else {}
        if ready.get("status") == "True":
            return
        if time.monotonic() > deadline:
            raise SwitchboardError(f"{key_of(one)} isn't ready after {timeout:.0f} s: {ready.get('message') or 'it does not say why'}")
        time.sleep(STEP)


def not_ready(cluster: Cluster, service: Manifest) -> str:
    """Why a Knative Service isn't ready, and which revision serves in the meantime."""
    name, status = service["metadata"]["name"], service.get("status", {})
    ready = condition(service, "Ready")
    newest, serves = status.get("latestCreatedRevisionName"), status.get("latestReadyRevisionName")
    troubles = pod_troubles(cluster, f"serving.knative.dev/revision={newest}") if newest else []
    says = " ".join((ready.get("message") or ready.get("reason") or "").split())
    why = "; ".join(dict.fromkeys([says, *troubles] if says else troubles)) or "it doesn't say why"
    still = f"{serves} goes on serving" if serves and serves != newest else "there is no revision before it"
    return f"{name} does not become ready ({still}): {why}"


def condition(one: Manifest, kind: str) -> dict[str, str]:
    """A condition of an object's status; empty where it has none of that type."""
    return next((each for each in one.get("status", {}).get("conditions") or () if each["type"] == kind), {})


def pod_troubles(cluster: Cluster, selector: str) -> list[str]:
    """What keeps the pods of a selector from being ready, a line a cause."""
    found = [trouble for pod in cluster.get("pods", f"--selector={selector}") for trouble in _troubles(cluster, pod)]
    return list(dict.fromkeys(found))


def _troubles(cluster: Cluster, pod: Manifest) -> Iterator[str]:
    status = pod.get("status", {})
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        yield f"no node takes it: {scheduled.get('message')}"
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state, name = container.get("state", {}), container["name"]
        waiting = state.get("waiting", {})
        ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
        if ended.get("exitCode"):
            said = _log(cluster, pod["metadata"]["name"], f"--container={name}", *([] if state.get("terminated") else ["--previous"]))
            yield f"{name} ended with exit code {ended['exitCode']} ({ended.get('reason')}):\n{said}\n"
        elif waiting and waiting.get("reason") not in ("ContainerCreating", "PodInitializing"):
            yield f"{name}: {waiting.get('reason')} {waiting.get('message', '')}".strip()


def gone(look: Callable[[], list[Manifest]], timeout: float) -> list[Manifest]:
    """Wait until `look` finds nothing; what is left after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(STEP)
    return left


def _again(cluster: Cluster, one: Manifest) -> Manifest:
    found = cluster.find(str(key_of(one)))
    if found is None:
        raise NotFound(f"{key_of(one)} went away while it was waited for")
    return found


def _log(cluster: Cluster, *what: str) -> str:
    try:
        return cluster.kubectl("logs", *what, f"--tail={LOG_LINES}").strip() or "(its log is empty)"
    except SwitchboardError as error:
        return f"(its log can't be read: {error.detail})"
