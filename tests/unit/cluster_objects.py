"""Objects of a cluster, as small as a test needs them."""

from typing import Any

Object = dict[str, Any]

SERVING = "serving.knative.dev/v1"
OURS = {"app.kubernetes.io/part-of": "switchboard", "app.kubernetes.io/managed-by": "switchboard"}


def thing(kind: str, name: str, version: str = "v1", labels: dict[str, str] | None = None, **more: Any) -> Object:
    """Any object, in the namespace `sb`."""
    metadata = {"name": name, "namespace": "sb", "labels": {**OURS, **(labels or {})}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def function(name: str = "ingest", **container: Any) -> Object:
    """A Knative Service."""
    return thing("Service", name, SERVING, spec={"template": {"spec": {"containers": [{"image": "core:1", **container}]}}})


def job(name: str = "setup", image: str = "core:1") -> Object:
    """A Job that reads one Secret."""
    volume = {"name": "key", "secret": {"secretName": "switchboard-admin-key", "items": [{"key": "key", "path": "key"}]}}
    return thing("Job", name, "batch/v1", spec={"template": {"spec": {"containers": [{"image": image}], "volumes": [volume]}}})


def live(one: Object, **more: Any) -> Object:
    """The same as the API server shows it."""
    metadata = {**one["metadata"], "uid": "u", "resourceVersion": "7", "generation": 3, "managedFields": [{}], "creationTimestamp": "now"}
    return {**one, "metadata": {**metadata, **more}, "status": {"conditions": []}}
