"""Asking a cluster's servers, and our image, from within: a pod with a function's image and settings runs `switchboard doctor`, and is
taken away again."""

import json
import secrets
import time

from infra.cluster.manifests import OURS
from infra.cluster.tools import Cluster, Manifest
from infra.cluster.waiting import pod_troubles
from infra.local.checks import Finding
from shared.domain.errors import Unavailable

# Of infra/local/checks.py: of the image, and of the servers.
FROM_WITHIN = ("compiled module", "log durability", "Redis door", "clock", "JetStream", "TimescaleDB", "migrations", "hub")
REMEDIES = {  # on a cluster: there the schema is the setup Job's, and what is compiled is in the image
    "migrations": "`switchboard deploy` runs the setup Job, which migrates",
    "compiled module": "build the images with a BUILDER that has a C compiler: infra/images/README.md",
}
DOOR = "SWITCHBOARD_REDIS_DOOR_URL"
WITHIN = 60.0  # seconds, for a node that has to fetch the image
STEP = 0.5
COMMAND = ["python", "-m", "infra.cli.main", "doctor", "--output", "json"]


def of_servers(cluster: Cluster, function: Manifest, objects: list[Manifest]) -> list[tuple[str, Finding]]:
    """What `switchboard doctor` finds from within the namespace. Raises Unavailable when the pod doesn't come to an end."""
    name = f"doctor-{secrets.token_hex(4)}"
    cluster.kubectl("create", "--filename=-", stdin=json.dumps(pod(name, cluster.namespace, function, objects)))
    try:
        _ended(cluster, name)
        rows = {row["check"]: row for row in json.loads(cluster.kubectl("logs", f"pod/{name}"))}
    except json.JSONDecodeError as error:
        raise Unavailable(f"the pod {name} said something else than findings") from error
    finally:
        cluster.kubectl("delete", f"pod/{name}", "--ignore-not-found", "--wait=false")
    asked = {check: row for check in FROM_WITHIN if (row := rows.get(check)) and row["status"] != "skipped"}  # an edge has no database
    return [(check, Finding(row["status"], row["found"], _remedy(check, row))) for check, row in asked.items()]


def pod(name: str, namespace: str, function: Manifest, objects: list[Manifest]) -> Manifest:
    """The pod, made from what a function is told. Its settings are copied: their ConfigMap may not be there yet."""
    spec = function["spec"]["template"]["spec"]
    container = spec["containers"][0]
    settings = {each["configMapRef"]["name"] for each in container.get("envFrom", ()) if "configMapRef" in each}
    told = [one["data"] for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"] in settings]
    kept = {key: container[key] for key in ("image", "securityContext", "volumeMounts") if key in container}
    environment = [*({"name": key, "value": value} for data in told for key, value in data.items()), *container.get("env", ())]
    environment += [each for each in _door(objects) if each["name"] not in {other["name"] for other in environment}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {**OURS, "app.kubernetes.io/name": "doctor"}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": round(WITHIN),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "volumes": spec.get("volumes", []),
            "containers": [{**kept, "name": "doctor", "command": COMMAND, "env": environment}],
        },
    }


def _door(objects: list[Manifest]) -> list[Manifest]:
    """Where the submit lists are: their source alone is told."""
    sources = [one for one in objects if one["kind"] == "Deployment" and one["metadata"]["name"] == "redis-source"]
    containers = [each for one in sources for each in one["spec"]["template"]["spec"]["containers"]]
    return [each for container in containers for each in container.get("env", ()) if each["name"] == DOOR]


def _ended(cluster: Cluster, name: str) -> None:
    deadline = time.monotonic() + WITHIN
    while True:
        found = cluster.find(f"pod/{name}")
        phase = (found or {}).get("status", {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            return
        if time.monotonic() > deadline:
            why = "; ".join(pod_troubles(cluster, "app.kubernetes.io/name=doctor")) or f"it is {phase}"
            raise Unavailable(f"the pod {name} isn't done after {WITHIN:.0f} s: {why}")
        time.sleep(STEP)


def _remedy(check: str, row: dict[str, str]) -> str:
    return "" if row["status"] == "ok" else REMEDIES.get(check, row["what to do"])
