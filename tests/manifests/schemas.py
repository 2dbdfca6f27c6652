"""The schemas that an API server holds objects against: Kubernetes' own, and those of the CRDs, made strict.

Kubernetes' come with kubernetes-validate; the CRDs' from the Go modules that define them, which Go's module cache keeps.
"""

import copy
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

Json = dict[str, Any]

KUBERNETES = "1.34"
GO = Path(__file__).parents[2] / "infra" / "render" / "go"
SERVING = "knative.dev/serving@v0.48.2"
CRDS = {
    SERVING: "config/core/300-resources",
    "knative.dev/eventing@v0.48.2": "config/core/resources",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": "example/prometheus-operator-crd",
    "github.com/kedacore/keda/v2@v2.19.0": "config/crd/bases",
}
GATED = re.compile(r"behind a feature flag - (\S+)")


def faults(thing: Json) -> list[str]:
    """What an API server would refuse about the object, unknown fields included. [] for one that it takes."""
    crd = _crds().get((thing["apiVersion"], thing["kind"]))
    if crd is None:
        return _faults_of_core(thing)
    metadata = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": thing["metadata"]}  # a CRD's schema leaves it out
    validator = jsonschema.Draft202012Validator(crd)
    return [_said(error.json_path, error.message) for error in validator.iter_errors(thing)] + _faults_of_core(metadata)


def _faults_of_core(thing: Json) -> list[str]:
    try:
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [_said("$" + "".join(f"[{part!r}]" for part in error.absolute_path), error.message)]
    except kubernetes_validate.SchemaNotFoundError:
        return [f"nothing is known of {thing['apiVersion']} {thing['kind']}"]
    return []


def _said(path: str, message: str) -> str:
    return f"{path}: {message[:300]}"


@cache
def _crds() -> dict[tuple[str, str], Json]:
    """By apiVersion and kind."""
    return {
        (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]): _whole(_strict(version["schema"]["openAPIV3Schema"]))
        for module, folder in CRDS.items()
        for crd in _documents(_module(module) / folder)
        if crd["kind"] == "CustomResourceDefinition" and crd["spec"]["names"]["kind"] in _WANTED
        for version in crd["spec"]["versions"]
    }


_WANTED = {"Service", "Broker", "Trigger", "SinkBinding", "PodMonitor", "ScaledObject"}  # to read them all takes seconds


def _documents(folder: Path) -> Iterator[Json]:
    for path in sorted(folder.glob("*.yaml")):
        text = path.read_text()
        if any(f"kind: {kind}\n" in text for kind in _WANTED):
            yield from filter(None, yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@cache
def _module(module: str) -> Path:
    """Where Go keeps the module."""
    go = subprocess.run([GO], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as nowhere:
        done = subprocess.run([go, "mod", "download", "-json", module], cwd=nowhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"Go can't get {module}: {done.stdout} {done.stderr}"
    return Path(json.loads(done.stdout)["Dir"])


@cache
def _on() -> set[str]:
    """The feature flags that Knative Serving has on unless told otherwise: a production cluster may be told nothing."""
    text = (_module(SERVING) / "config/core/configmaps/features.yaml").read_text()
    return set(re.findall(r"^ *(\S+): \"enabled\"$", text, re.MULTILINE))


def _whole(schema: Json) -> Json:
    """The schema of an object: what every object has may be left out of a CRD's (Knative Eventing does)."""
    return {**schema, "properties": {"apiVersion": {}, "kind": {}, "metadata": {}, **schema["properties"]}}


def _strict(schema: Json) -> Json:
    """The schema with no fields but its own. What Knative has behind a flag that is off is no field."""
    schema = copy.copy(schema)
    if (flag := GATED.search(schema.get("description", ""))) and flag[1].strip("`.") not in _on():
        return {"not": {}}
    if "properties" in schema:
        schema["properties"] = {name: _strict(field) for name, field in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            schema[name] = _strict(schema[name])
    return schema
