"""The provider `helm`: a backbone is a release of charts/backbone, called by its id.

Helm is asked once a minute, the API server at each look: what a release holds, and whether somebody changed it.
"""

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from shared.adapters.helm.found import found_of
from shared.adapters.helm.live import changed_live
from shared.adapters.helm.trusted import keep_secret, secret_name, values_of
from shared.adapters.kubernetes.access import Clusters
from shared.adapters.kubernetes.asking import Asking
from shared.adapters.kubernetes.kubeconfig import Kubeconfig, without_secrets
from shared.adapters.kubernetes.objects import Objects
from shared.backbone_chart import FOLDER as CHART
from shared.domain.registry.deploying import Deployment, Ensured, Found, Undeployed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.adapters.helm.command import Client

OURS = "switchboard:"  # begins a release's description, then the digest of its values: whoever changes it by hand leaves another
ASK_HELM_S = 60.0
AT_ONCE = 4  # Helm processes: 50 MB each
OF_ONE_CLUSTER = 2

Asked = TypeVar("Asked")
Json = dict[str, Any]


class Settled(NamedTuple):
    """A release as Helm said it is: the digest of what it was made of, its objects, and when that was asked."""

    digest: str
    objects: tuple[Json, ...]
    at: float


class HelmBackbones:
    """Provider for clusters of Kubernetes. Releases are in `namespace`; `helm` is the program."""

    def __init__(self, clusters: Clusters, namespace: Callable[[], str], folder: Path, helm: str = "helm") -> None:
        self._clusters = clusters
        self._namespace = namespace
        self._folder = folder
        self._helm = helm
        self._settled: dict[str, Settled] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._turns: dict[tuple[str, str], asyncio.Semaphore] = {}
        self._asking = Asking(namespace)

    async def start(self) -> None:
        """Nothing: clusters are got at when they are needed."""

    async def stop(self) -> None:
        """Nothing is held: releases stay."""

    async def let_go(self, id: str) -> None:
        self._settled.pop(id, None)

    async def ensure(self, wanted: Deployment) -> Ensured:
        access = await self._clusters.of(wanted.cluster)
        values, known = values_of(wanted), self._settled.get(wanted.id)
        digest = digest_of(values)
        live = await self._asked(wanted, access, partial(_live, wanted, known))
        if known is not None and not live and known.digest == digest and time.monotonic() - known.at < ASK_HELM_S:
            return Ensured(False)
        async with self._client(wanted, access) as client:
            drift = live or await self._drift(client, wanted, known)
            try:
                changed = await self._install(client, wanted.id, values, again=bool(drift))
            except Undeployed as why:
                raise Undeployed(why.reason, why.message, drift) from None
        return Ensured(changed, drift)

    async def look(self, wanted: Deployment) -> Found:
        access = await self._clusters.of(wanted.cluster)
        namespace = self._namespace()
        return await self._asked(wanted, access, lambda objects: found_of(objects, wanted, namespace))

    async def remove(self, wanted: Deployment) -> bool:
        access = await self._clusters.of(wanted.cluster)
        self._settled.pop(wanted.id, None)
        await self._asked(wanted, access, lambda objects: objects.pods(wanted.id))
        async with self._client(wanted, access) as client:
            await client.uninstall_release(wanted.id, namespace=self._namespace())
        await self._asked(wanted, access, lambda objects: objects.delete_secret(secret_name(wanted.id)))
        return await self._asked(wanted, access, lambda objects: not (objects.pods(wanted.id) or objects.volumes(wanted.id)))

    async def _drift(self, client: "Client", wanted: Deployment, known: Settled | None) -> str:
        """What somebody did to the release; empty where it is missing for the first time, or is an older one of ours."""
        from shared.adapters.helm.command import ReleaseNotFoundError

        try:
            revision = await client.get_current_revision(wanted.id, namespace=self._namespace())
        except ReleaseNotFoundError:
            return "" if known is None else "its release had been deleted"
        if str(revision.description or "").startswith(OURS) or revision.status != "deployed":
            return ""
        return f"its release had been changed by somebody: revision {revision.revision}, {str(revision.description)[:100]}"

    async def _install(self, client: "Client", id: str, values: Json, *, again: bool) -> bool:
        """Whether it had to be installed or upgraded. Its objects are known afterwards."""
        namespace, chart, digest = self._namespace(), await client.get_chart(CHART), digest_of(values)
        revision = await client.get_proceedable_revision(id, namespace=namespace)  # one that was broken off is undone first
        same = revision is not None and revision.description == OURS + digest and revision.status == "deployed"
        if again or not same:
            # Installed, not waited for: how it comes up is told by look(), and a change in the meantime needn't wait for it.
            revision = await client.install_or_upgrade_release(
                id, chart, values, namespace=namespace, create_namespace=False, description=OURS + digest, reset_values=True
            )
        objects = tuple(one for one in await revision.resources() if one)
        self._settled[id] = Settled(digest, objects, time.monotonic())
        return again or not same

    @asynccontextmanager
    async def _client(self, wanted: Deployment, access: Kubeconfig) -> "AsyncIterator[Client]":
        """Helm on that cluster. What it complains of is raised as Undeployed, in its own words and without secrets."""
        try:
            from shared.adapters.helm.command import Client, Error, Helm, private_file
        except ImportError:
            raise Undeployed("NoProvider", "pyhelm3 isn't installed here: pip install switchboard[reconcile]") from None
        kubeconfig = private_file(json.dumps(access.content()))
        try:
            async with self._turns.setdefault((wanted.cluster.org, wanted.cluster.name), asyncio.Semaphore(OF_ONE_CLUSTER)), self._turn:
                yield await asyncio.to_thread(Client, Helm(self._helm, kubeconfig, self._folder), executable=self._helm)
        except Error as error:
            self._clusters.forget(wanted.cluster)
            raise Undeployed("HelmFailed", without_secrets(error.stderr.decode(errors="replace"), access)) from None
        except TimeoutError:
            raise Undeployed("HelmTimedOut", "helm was not done in time") from None
        except (OSError, ValueError, AssertionError, SubprocessError) as error:  # its version can't be asked
            raise Undeployed("NoHelm", f"helm can't be run: {type(error).__name__}") from None
        finally:
            shutil.rmtree(kubeconfig.parent, ignore_errors=True)

    async def _asked(self, wanted: Deployment, access: Kubeconfig, ask: Callable[[Objects], Asked]) -> Asked:
        """What the API server says. Raises Undeployed."""
        try:
            return await self._asking.ask(wanted.cluster, access, ask)
        except Undeployed:
            self._clusters.forget(wanted.cluster)
            raise


def _live(wanted: Deployment, known: Settled | None, objects: Objects) -> str:
    """What somebody changed behind Helm's back. Asked where nothing is known, too: what is away would take Helm's turns from all others."""
    changed = keep_secret(objects, wanted)
    if known is None:
        objects.find("StatefulSet", wanted.id)
        return changed
    return changed or changed_live(objects, known.objects)


def digest_of(values: Json) -> str:
    """Says whether two releases are made of the same."""
    return sha256(json.dumps([values, _chart_digest()], sort_keys=True).encode()).hexdigest()[:32]


@cache
def _chart_digest() -> str:
    """Of the chart that this process came with."""
    chart = sha256()
    for path in sorted(path for path in CHART.rglob("*") if path.is_file()):
        chart.update(path.read_bytes())
    return chart.hexdigest()
