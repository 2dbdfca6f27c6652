"""How a release is: its servers by their readiness, its endpoint by its Service, its version by NATS' own monitoring."""

from typing import Any

from shared.adapters.kubernetes.objects import Objects
from shared.domain.registry.deploying import Deployment, Found
from shared.domain.registry.shapes import Leaf

CLIENTS, LEAVES = 4222, 7422

Json = dict[str, Any]


def found_of(objects: Objects, wanted: Deployment, namespace: str) -> Found:
    """How it is now. Readiness is the servers' own /healthz, as the kubelet sees it."""
    stateful, service = objects.find("StatefulSet", wanted.id), objects.find("Service", wanted.id)
    if stateful is None or service is None:
        return Found(0, problem="its objects are not there yet")
    pods = objects.pods(wanted.id)
    ready = [pod for pod in pods if is_ready(pod)]
    status = stateful.get("status", {})
    rolling = status.get("observedGeneration", 0) < stateful["metadata"]["generation"] or (
        status.get("currentRevision") != status.get("updateRevision") and status.get("updatedReplicas", 0) < wanted.spec.replicas
    )
    up = min(len(ready), status.get("updatedReplicas", len(ready))) if rolling else len(ready)
    endpoint, problem = endpoint_of(service, wanted, namespace, pods)
    problem = problem or next((why for pod in pods if (why := trouble(pod))), "") or ("it rolls" if rolling else "")
    return Found(up, _version(objects, ready), endpoint, leaf_of(service, wanted, namespace, pods), problem)


def endpoint_of(service: Json, wanted: Deployment, namespace: str, pods: list[Json]) -> tuple[str | None, str]:
    """Where clients find it, or why that isn't known."""
    scheme = "tls" if wanted.values.get("tls", {}).get("secret") else "nats"
    if wanted.spec.expose.host:
        return f"{scheme}://{wanted.spec.expose.host}", ""
    address, problem = _outside(service, wanted, CLIENTS, pods, _place(wanted.endpoint))
    if wanted.spec.expose.type == "ClusterIP":
        address = f"{wanted.id}.{namespace}.svc:{CLIENTS}"
    return (f"{scheme}://{address}", "") if address else (None, problem)


def leaf_of(service: Json, wanted: Deployment, namespace: str, pods: list[Json]) -> Leaf | None:
    """Where it takes leaves; None where it takes none."""
    leafnodes = wanted.values.get("leafnodes", {})
    if not leafnodes.get("enabled"):
        return None
    told = leafnodes.get("host") or _outside(service, wanted, LEAVES, pods, _place(wanted.leaf.outside if wanted.leaf else None))[0]
    return Leaf(f"nats-leaf://{wanted.id}.{namespace}.svc:{LEAVES}", f"nats-leaf://{told}" if told else "")


def _outside(service: Json, wanted: Deployment, port: int, pods: list[Json], known: str) -> tuple[str, str]:
    """host:port from outside the cluster, or why there is none. `known` is what it was: any node leads to a NodePort, and a pod that is
    away for a moment is no reason to send all clients to another, or to roll all leaves."""
    if wanted.spec.expose.type == "LoadBalancer":
        ingress = (service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}])[0]
        host = ingress.get("ip") or ingress.get("hostname") or ""
        if not host and known.endswith(f":{port}"):
            return known, ""
        return (f"{_bracketed(host)}:{port}", "") if host else ("", "its load balancer has no address yet")
    if wanted.spec.expose.type == "NodePort":
        number = next((one.get("nodePort") for one in service["spec"]["ports"] if one["port"] == port), None)
        ready = [pod for pod in pods if is_ready(pod)]
        places = [f"{_bracketed(pod['status']['hostIP'])}:{number}" for pod in ready if number and pod["status"].get("hostIP")]
        if known in places or (len(ready) < wanted.spec.replicas and number and known.endswith(f":{number}")):
            return known, ""
        return (places[0], "") if places else ("", "none of its pods is on a node yet")
    return "", ""


def is_ready(pod: Json) -> bool:
    """Whether it serves."""
    conditions = pod.get("status", {}).get("conditions") or []
    return "deletionTimestamp" not in pod["metadata"] and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def trouble(pod: Json) -> str:
    """Why a pod doesn't come up, in Kubernetes' own words."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for one in status.get("containerStatuses") or []:
        waiting = one.get("state", {}).get("waiting", {})
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{name}: {waiting['reason']}: {str(waiting.get('message', ''))[:200]}"
    for one in status.get("conditions") or []:
        if one["type"] == "PodScheduled" and one["status"] == "False":
            return f"{name}: {one.get('reason')}: {str(one.get('message', ''))[:200]}"
    return ""


def _version(objects: Objects, ready: list[Json]) -> str | None:
    """The version that a server says it is; None where the API server doesn't get to its monitoring."""
    from shared.adapters.kubernetes.failures import ApiException, HTTPError

    if not ready:
        return None
    try:
        return str(objects.monitoring(ready[0]["metadata"]["name"], "varz").get("version"))
    except (ApiException, HTTPError, ValueError):
        return None


def _place(url: str | None) -> str:
    """host:port of a URL; empty for none."""
    return (url or "").partition("://")[2]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
