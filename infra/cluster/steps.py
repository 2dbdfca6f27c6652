"""Carrying a plan out: stage by stage, each resting on those before it, and nothing more after the first that fails.

Knative keeps a Service's last ready revision serving while a newer one doesn't become ready: where we stop, what was goes on.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from infra.cluster import secrets, waiting
from infra.cluster.changes import MANAGER, Change, mark
from infra.cluster.manifests import KNATIVE_SERVICE, Stage, key_of, kind_of, secrets_needed, stage_of
from infra.cluster.plan import Plan
from infra.cluster.removal import counted
from infra.cluster.tools import Cluster, Manifest, as_list, has
from shared.domain.errors import SwitchboardError, Unavailable

Say = Callable[[str], None]
ROLLED = {"StatefulSet", "Deployment"}
SINK_ENV = {"K_SINK", "K_CE_OVERRIDES", "K_CA_CERTS"}  # Knative's, "SinkBinding"
EVENTING = ("Broker", "Trigger", "SinkBinding")  # in the order that they rest on each other


def carry_out(plan: Plan, say: Say, timeout: float) -> None:
    """Do what the plan says; `timeout`: seconds for each wait. Raises SwitchboardError at the first thing that fails."""
    cluster, planned = plan.cluster, plan.changes
    for stage in Stage:
        changes = [change for change in planned if stage_of(change.object) is stage]
        if stage is Stage.SETUP:
            _run_jobs(cluster, changes, say, timeout)
        elif stage is Stage.SERVICES:
            _serve(cluster, changes, say, timeout)
        else:
            _apply(cluster, changes, say, timeout)
        if stage is Stage.CONFIG and plan.secrets:
            needed = secrets_needed(change.object for change in plan.changes)
            secrets.make(cluster, {name: needed[name] for name in plan.secrets}, secrets.read(cluster, secrets.MADE))
            say(f"made the Secrets {', '.join(plan.secrets)}")
            planned = _marked_again(cluster, planned)


def _marked_again(cluster: Cluster, changes: Sequence[Change]) -> list[Change]:
    """The changes, with objects that know of the Secrets that are there now: they were planned without some."""
    objects = [change.object for change in changes]
    versions = secrets.versions(secrets.read(cluster, secrets_needed(objects)))
    return [replace(change, object=one) for change, one in zip(changes, mark(objects, versions), strict=True)]


def _apply(cluster: Cluster, changes: Sequence[Change], say: Say, timeout: float) -> None:
    """Apply what changed, all at once, and wait until what runs pods runs the newest."""
    changed = [change.object for change in changes if change.action != "unchanged"]
    if changed:
        options = ("--server-side", "--force-conflicts", f"--field-manager={MANAGER}", "--filename=-")
        cluster.kubectl("apply", *options, stdin=as_list(changed))
        say(f"applied {counted(changed)}")
    for change in changes:
        if change.object["kind"] in ROLLED:
            waiting.rolled_out(cluster, change.object, timeout)
            if change.action != "unchanged":
                say(f"{change.key} is ready")
    _wire(cluster, [change for change in changes if change.object["kind"] in EVENTING], say, timeout)


def _wire(cluster: Cluster, changes: Sequence[Change], say: Say, timeout: float) -> None:
    """Wait for Brokers, Triggers and SinkBindings; and for what a SinkBinding changes: a Service's new revision, a Deployment's pods."""
    for change in sorted(changes, key=lambda each: EVENTING.index(each.object["kind"])):
        waiting.eventing_ready(cluster, change.object, timeout)
        _follow(cluster, change.object, timeout)
        if change.action != "unchanged":
            say(f"{change.key} is ready")


def unbind(cluster: Cluster, deleted: Sequence[Manifest], say: Say, timeout: float) -> None:
    """Wait until what was told of a sink by SinkBindings that were deleted runs without it. Raises Unavailable where one stays."""
    bindings = [one for one in deleted if one["kind"] == "SinkBinding"]
    # One goes when Knative has taken back what it put into its subject.
    if left := waiting.gone(lambda: [one for one in bindings if cluster.find(str(key_of(one)))], timeout):
        raise Unavailable(f"still there after {timeout:.0f} s: {', '.join(str(key_of(one)) for one in left)}")
    # Seen once: the binding went, and what it had put in stayed, since the webhook that puts it in did so again. Nobody takes it out then.
    if left := waiting.gone(lambda: [found for one in bindings if (found := _taken_out(cluster, one))], timeout):
        raise Unavailable(f"still told of a sink after {timeout:.0f} s: {', '.join(str(key_of(one)) for one in left)}")
    for one in bindings:
        _follow(cluster, one, timeout)
    if bindings:
        say(f"{', '.join(one['spec']['subject']['name'] for one in bindings)} run without a sink")


def _taken_out(cluster: Cluster, binding: Manifest) -> Manifest | None:
    """The binding's subject, if it was still told of a sink: that is out now, unless it is put in again. None for subjects by label."""
    subject = binding["spec"].get("subject", {})
    if "name" not in subject:
        return None
    found = cluster.find(str(key_of({**subject, "metadata": {"name": subject["name"]}})))
    changes = told_of_sink(found) if found else []
    if found is None or not changes:
        return None
    cluster.kubectl("patch", str(key_of(found)), "--type=json", "--patch", json.dumps(changes))
    return found


def told_of_sink(subject: Manifest) -> list[dict[str, str]]:
    """The changes (JSON Patch) that take out of a subject's containers what a SinkBinding puts in; the last ones first, for each moves
    those behind it. The tests among them fail where it was changed meanwhile."""
    changes: list[dict[str, str]] = []
    for place, container in enumerate(subject["spec"]["template"]["spec"]["containers"]):
        for number, each in reversed([*enumerate(container.get("env", ()))]):
            if each["name"] in SINK_ENV:
                path = f"/spec/template/spec/containers/{place}/env/{number}"
                changes += [{"op": "test", "path": f"{path}/name", "value": each["name"]}, {"op": "remove", "path": path}]
    return changes


def _follow(cluster: Cluster, binding: Manifest, timeout: float) -> None:
    """Wait until what a SinkBinding changed runs as it is now; nothing for other objects, and for subjects by label."""
    subject = binding["spec"].get("subject", {})
    if "name" not in subject:
        return
    subject = {**subject, "metadata": {"name": subject["name"]}}
    if kind_of(subject) == KNATIVE_SERVICE:
        waiting.serving(cluster, subject, timeout)
    elif subject["kind"] in ROLLED:
        waiting.rolled_out(cluster, subject, timeout)


def _run_jobs(cluster: Cluster, changes: Sequence[Change], say: Say, timeout: float) -> None:
    """Run the Jobs, and wait until each is done. One that ran for something else makes room: a Job can't be changed."""
    for change in changes:
        job = change.object
        if change.action == "run again":
            cluster.kubectl("delete", str(change.key), "--ignore-not-found", "--cascade=foreground", "--wait=true")
        if change.action != "unchanged":
            cluster.kubectl("apply", "--server-side", f"--field-manager={MANAGER}", "--filename=-", stdin=as_list([job]))
        waiting.finished(cluster, job, timeout)
        if change.action != "unchanged":
            say(f"{change.key} is done")


def _serve(cluster: Cluster, changes: Sequence[Change], say: Say, timeout: float) -> None:
    """Bring the Knative Services up to date one by one, each ready before the next."""
    for number, change in enumerate(changes):
        try:
            if change.action != "unchanged":
                _apply_service(cluster, change.object)
            live = waiting.serving(cluster, change.object, timeout)
        except SwitchboardError as error:
            later = [each.key.name for each in changes[number + 1 :] if each.action != "unchanged"]
            rest = f"\nNothing after it was touched: {', '.join([*later, 'what comes last'])}"
            raise type(error)(f"{error.detail.rstrip()}{rest}") from error
        if change.action != "unchanged":
            say(f"{change.key} is ready: {live['status']['latestReadyRevisionName']}")


def _apply_service(cluster: Cluster, service: Manifest) -> None:
    """By kn; by kubectl where there is no kn: both merge with what was applied last. The waiting is ours either way: kn knows nothing of
    pods, and so of why they end."""
    if not has("kn"):
        cluster.kubectl("apply", "--filename=-", stdin=json.dumps(service))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "service.json")
        file.write_text(json.dumps(service))
        cluster.kn("service", "apply", "--filename", str(file), "--no-wait")
