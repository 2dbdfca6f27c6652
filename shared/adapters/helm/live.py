"""What somebody did to the objects of a release behind Helm's back."""

from typing import Any

from shared.adapters.kubernetes.objects import Objects

RUNNING = ("name", "image", "args", "env", "ports", "lifecycle", "securityContext", "startupProbe", "readinessProbe", "livenessProbe")
NOTHING: tuple[Any, ...] = (None, "", [], {})  # the API server leaves out
KINDS = ("StatefulSet", "Service", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget")

Json = dict[str, Any]


def changed_live(objects: Objects, rendered: tuple[Json, ...]) -> str:
    """What differs between the objects as they were installed and as they are; empty where nothing does."""
    for one in rendered:
        kind, name = one["kind"], one["metadata"]["name"]
        if kind not in KINDS:
            continue
        live = objects.find(kind, name)
        if live is None:
            return f"its {kind} {name} had been deleted"
        way = differs(parts_of(one), live)
        if way:
            return f"its {kind} {name} had been changed: {way}"
    return ""


def parts_of(rendered: Json) -> Json:
    """Of an object what decides how servers run and who reaches them. The rest may look different in the API server's own words."""
    kind, spec = rendered["kind"], rendered.get("spec", {})
    if kind == "ConfigMap":
        return {"data": rendered["data"]}
    if kind == "StatefulSet":
        pod = spec["template"]
        containers = [{name: one[name] for name in RUNNING if name in one} for one in pod["spec"]["containers"]]
        wanted = {"containers": containers, "securityContext": pod["spec"].get("securityContext", {})}
        template = {"metadata": {"annotations": pod["metadata"]["annotations"]}, "spec": wanted}
        return {"spec": {"replicas": spec["replicas"], "template": template}}
    return {"spec": spec}


def differs(wanted: Any, found: Any, way: str = "") -> str:
    """Where the first thing is that is wanted otherwise; what is there besides doesn't count."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return way
        said = ((name, value) for name, value in wanted.items() if value not in NOTHING)
        return next((at for name, value in said if (at := differs(value, found.get(name), f"{way}.{name}".lstrip(".")))), "")
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return way
        pairs = enumerate(zip(wanted, found, strict=True))
        return next((at for index, (value, other) in pairs if (at := differs(value, other, f"{way}[{index}]"))), "")
    return "" if wanted == found else way
