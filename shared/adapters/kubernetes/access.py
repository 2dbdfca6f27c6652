"""How the reconciler gets at a cluster: by what its `access` refers to, looked up when it is needed and again after a while."""

import asyncio
import base64
import os
import time
from collections.abc import Callable
from pathlib import Path

from shared.adapters.aws.eks import eks_kubeconfig
from shared.adapters.aws.secrets import secret_text
from shared.adapters.kubernetes.asking import answer_of, in_thread
from shared.adapters.kubernetes.kubeconfig import Kubeconfig, read_kubeconfig
from shared.domain.registry.deploying import Undeployed
from shared.domain.registry.shapes import Access, Cluster

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
KEY = "kubeconfig"  # in a Kubernetes Secret
KEPT_S = 300.0  # a token of EKS is good for 15 minutes; a Secret may have been changed

Find = Callable[[Access], Kubeconfig]


class Clusters:
    """Kubeconfigs of the registry's clusters. `namespace` has the Secrets; `find` is how a reference is followed."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._known: dict[Access, tuple[Kubeconfig, float]] = {}
        self._looking: dict[Access, asyncio.Lock] = {}

    async def of(self, cluster: Cluster) -> Kubeconfig:
        """How it is got at. Raises Undeployed."""
        access = cluster.access
        if access is None:
            raise Undeployed("NoAccess", f"the cluster {cluster.name} doesn't say how it is got at: /access")
        async with self._looking.setdefault(access, asyncio.Lock()):  # a hundred backbones of one cluster ask once
            known = self._known.get(access)
            if known is not None and time.monotonic() - known[1] < KEPT_S:
                return known[0]
            found = await in_thread(lambda: self._find(access))
            self._known[access] = found, time.monotonic()
            return found

    def forget(self, cluster: Cluster) -> None:
        """Look it up anew: what was found doesn't work."""
        if cluster.access is not None:
            self._known.pop(cluster.access, None)


def follow(access: Access, namespace: str = "") -> Kubeconfig:
    """What a reference leads to. Blocks. Raises Undeployed."""
    try:
        return _followed(access, namespace)
    except ImportError as error:
        raise Undeployed("NoProvider", f"{error.name} isn't installed here: pip install switchboard[reconcile]") from None


def _followed(access: Access, namespace: str) -> Kubeconfig:
    if access.kubeconfig_secret is not None:
        return read_kubeconfig(_secret(access.kubeconfig_secret, namespace or own_namespace()))
    if access.aws_secret is not None:
        return read_kubeconfig(secret_text(access.aws_secret))
    if access.eks is not None:
        return eks_kubeconfig(access.eks)
    return in_cluster()


def own_namespace() -> str:
    """The namespace that this process runs in. Raises Undeployed where it runs in no cluster."""
    try:
        return (ACCOUNT / "namespace").read_text().strip()
    except OSError:
        raise Undeployed("NoAccess", "this reconciler runs in no cluster: it has neither Secrets nor a cluster of its own") from None


def in_cluster() -> Kubeconfig:
    """The cluster that this process runs in, as its ServiceAccount. Raises Undeployed."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    own_namespace()
    if not host:
        raise Undeployed("NoAccess", "KUBERNETES_SERVICE_HOST isn't set: this reconciler runs in no cluster")
    host = f"[{host}]" if ":" in host else host
    try:
        ca = base64.b64encode((ACCOUNT / "ca.crt").read_bytes()).decode()
        token = (ACCOUNT / "token").read_text().strip()
    except OSError as error:
        raise Undeployed("NoAccess", f"this pod has no account of its cluster: {error.strerror}") from None
    return Kubeconfig({"server": f"https://{host}:{port}", "certificate-authority-data": ca}, {"token": token}, here=True)


def _secret(name: str, namespace: str) -> str:
    try:
        data = answer_of("this cluster", in_cluster(), namespace, lambda objects: objects.secret(name))
    except Undeployed as why:
        raise Undeployed("NoAccess", f"the Secret {name} can't be read: {why.message}") from None
    if KEY not in data:
        raise Undeployed("NoAccess", f"the Secret {name} has no key {KEY}")
    return base64.b64decode(data[KEY]).decode(errors="replace")
