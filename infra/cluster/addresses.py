"""Where a deployed Switchboard is reached, and how to get its first key."""

from infra.cluster.manifests import SELECTOR, labels_of
from infra.cluster.secrets import ADMIN_KEY
from infra.cluster.tools import Cluster, Manifest

VISIBILITY, CLUSTER_LOCAL = "networking.knative.dev/visibility", "cluster-local"
GATEWAY = "gateway"


def of(cluster: Cluster) -> dict[str, str]:
    """URL by name: the gateway, and each Knative Service that is public."""
    found: dict[str, str] = {}
    gateway = cluster.find(f"service/{GATEWAY}")
    if gateway is not None:
        found[GATEWAY] = _gateway(gateway)
    for one in cluster.get("services.serving.knative.dev", f"--selector={SELECTOR}"):
        if labels_of(one).get(VISIBILITY) != CLUSTER_LOCAL and (url := one.get("status", {}).get("url")):
            found[one["metadata"]["name"]] = url
    return found


def _gateway(service: Manifest) -> str:
    """From outside where a load balancer has given it an address, else inside the cluster."""
    port = service["spec"]["ports"][0]["port"]
    ingress = (service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}])[0]
    metadata = service["metadata"]
    host = ingress.get("hostname") or ingress.get("ip") or f"{metadata['name']}.{metadata['namespace']}.svc.cluster.local"
    return f"http://{host}" if port == 80 else f"http://{host}:{port}"


def admin_key(cluster: Cluster) -> str:
    """The command that prints the first admin key."""
    context = f" --context {cluster.context}" if cluster.context else ""
    return f"kubectl{context} --namespace {cluster.namespace} get secret {ADMIN_KEY} --output jsonpath='{{.data.key}}' | base64 --decode"
