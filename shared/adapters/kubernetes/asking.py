"""API servers asked side by side: one that is away, or never done, holds up its own cluster's backbones and no other's."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from shared.adapters.kubernetes.kubeconfig import Kubeconfig, without_secrets
from shared.adapters.kubernetes.objects import Objects, said
from shared.domain.registry.deploying import Undeployed
from shared.domain.registry.shapes import Cluster

THREADS = 64
OF_ONE_CLUSTER = 4  # at a time
NOT_AN_ANSWER = (ValueError, KeyError, TypeError, AttributeError, IndexError)  # what reading one raises that isn't Kubernetes'

# Threads of their own: the loop's few look up the database's name, too.
_THREADS = ThreadPoolExecutor(THREADS, "clusters")

Asked = TypeVar("Asked")


class Asking:
    """Asks clusters, in threads. What is asked is of `namespace`."""

    def __init__(self, namespace: Callable[[], str]) -> None:
        self._namespace = namespace
        self._turns: dict[tuple[str, str], asyncio.Semaphore] = {}

    async def ask(self, cluster: Cluster, access: Kubeconfig, ask: Callable[[Objects], Asked]) -> Asked:
        """What a cluster's API server says. Raises Undeployed."""
        async with self._turns.setdefault((cluster.org, cluster.name), asyncio.Semaphore(OF_ONE_CLUSTER)):
            return await in_thread(lambda: answer_of(f"the cluster {cluster.name}", access, self._namespace(), ask))


async def in_thread(work: Callable[[], Asked]) -> Asked:
    """What it returns, from a thread that waits for clusters."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)


def answer_of(whose: str, access: Kubeconfig, namespace: str, ask: Callable[[Objects], Asked]) -> Asked:
    """What an API server says, `whose` in words. Blocks. Raises Undeployed."""
    try:
        from shared.adapters.kubernetes.failures import ApiException, HTTPError
    except ImportError:
        raise Undeployed("NoProvider", "kubernetes isn't installed here: pip install switchboard[reconcile]") from None
    try:
        objects = Objects(access, namespace)
        try:
            return ask(objects)
        finally:
            objects.close()
    except ApiException as error:
        raise Undeployed("ClusterRefused", without_secrets(f"{whose} refuses: {said(error)}", access)) from None
    except (HTTPError, OSError) as error:
        reason = without_secrets(str(getattr(error, "reason", error)), access)
        raise Undeployed("ClusterAway", f"{whose} does not answer: {reason}") from None
    except NOT_AN_ANSWER as error:
        raise Undeployed("ClusterRefused", f"{whose} does not answer as an API server does: {type(error).__name__}") from None
