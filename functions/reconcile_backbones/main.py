"""The reconciler as a pod: it follows the registry and looks after the backbones it has the leases of; with health and metrics on a port
of its own. `python -m functions.reconcile_backbones.main`. Several may run: each backbone is one's, until that one is silent for 15 s.
"""

import asyncio
import logging
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple, Protocol

from starlette.applications import Starlette

from functions.reconcile_backbones.handler import Tools, World
from functions.reconcile_backbones.keepers import Keepers, Pace
from functions.reconcile_backbones.revoking import Revoking
from shared.adapters.helm.backbones import HelmBackbones
from shared.adapters.kubernetes.access import Clusters, follow, own_namespace
from shared.adapters.nats.accounts import NatsAccounts
from shared.adapters.nats.backbone_streams import NatsBackboneStreams
from shared.adapters.postgres import PostgresLeases
from shared.backbone_chart import backbone_chart
from shared.domain.registry.deploying import Undeployed
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.edge.server import run
from shared.edge_keys import EdgeKeys
from shared.pause import set_within
from shared.ports import Provider
from shared.resources import Resources

NAMESPACE = "switchboard"
REVOKE_EVERY_S = 1.0  # between two looks at credentials, where no change of config comes in between

log = logging.getLogger(__name__)


class Running(Provider, Protocol):
    """A provider that has a beginning and an end."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Providers(NamedTuple):
    """How each sort of provider is made, where this process has it. Without `helm` it is Helm in the clusters of the registry."""

    local: Callable[[], Running] | None = None
    helm: Callable[[], Running] | None = None


def helm_of(resources: Resources) -> Running:
    """Releases in the namespace that this process runs in, which the registry's clusters have one like; `switchboard` outside of any."""

    def namespace() -> str:
        try:
            return own_namespace()
        except Undeployed:
            return NAMESPACE

    return HelmBackbones(Clusters(follow), namespace, resources.settings.state_dir / "helm")


class Pod:
    """What runs beside the HTTP server."""

    def __init__(self, resources: Resources, providers: Mapping[str, Running], pace: Pace | None = None) -> None:
        self._resources = resources
        self._providers = providers
        self._pace = pace
        self._leases = PostgresLeases(resources.settings.required("database_url"), f"{resources.settings.cluster}-{secrets.token_hex(8)}")
        self._streams = NatsBackboneStreams(resources.settings.backbone_credentials)
        self._accounts = NatsAccounts()
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._keepers: Keepers | None = None
        resources.counters.gauges["backbones_kept"] = lambda: float(self._keepers.count if self._keepers else 0)
        resources.counters.gauges["leaf_streams_uncompared"] = lambda: float(self._streams.uncompared)
        resources.counters.gauges["registry_lost"] = lambda: float(self._keepers.lost if self._keepers else False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At work for the time of the block; what is under way is finished at its end."""
        async with AsyncExitStack() as stack:
            for provider in self._providers.values():
                stack.push_async_callback(provider.stop)
                await provider.start()
            stack.push_async_callback(self._leases.stop)
            stack.push_async_callback(self._streams.stop)
            stack.push_async_callback(self._accounts.stop)
            self._resources.snapshots.tell(lambda snapshot: self._changed.set())
            self._tasks = [asyncio.create_task(self._run(), name="keepers"), asyncio.create_task(self._revoke(), name="revoking")]
            for task in self._tasks:
                task.add_done_callback(self._ended)
            try:
                yield
            finally:
                self._stop.set()
                self._changed.set()
                await asyncio.gather(*self._tasks)

    async def _run(self) -> None:
        registry = await self._resources.registry()
        tools = Tools(registry, self._providers, self._streams, backbone_chart(), await self._resources.trusts())
        self._keepers = Keepers(self._look, self._leases, tools, self._pace)
        await self._keepers.run(self._stop)

    async def _revoke(self) -> None:
        folder = self._resources.settings.edge_keys
        edges = None if folder is None else EdgeKeys(folder).all
        revoking = Revoking(await self._resources.credentials(), await self._resources.trusts(), self._accounts, edges)
        try:
            while not self._stop.is_set():
                self._changed.clear()
                ours = self._keepers.ids if self._keepers else set()
                await revoking.step(self._resources.snapshots.current, ours, int(time.time()))
                await set_within(self._changed, REVOKE_EVERY_S)
        finally:
            await revoking.stop()

    async def _look(self) -> World:
        snapshot = self._resources.snapshots.current
        return World(await (await self._resources.registry()).registered(), snapshot.orgs, snapshot.rules.retention)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A pod whose work has died would look alive: it ends, and is started again."""
        if not self._stop.is_set() and not task.cancelled() and (error := task.exception()) is not None:
            log.critical("%s died, and the process with it", task.get_name(), exc_info=error)
            signal.raise_signal(signal.SIGTERM)


def build(resources: Resources, providers: Providers | None = None, pace: Pace | None = None) -> ASGIApp:
    """The pod's ASGI app on a process's resources: no routes but the edge's own. Raises Misconfigured."""
    resources.settings.required("database_url")
    given = providers or Providers()
    made: dict[str, Running] = {} if given.local is None else {"local": given.local()}
    made["helm"] = helm_of(resources) if given.helm is None else given.helm()
    pod = Pod(resources, made, pace)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with pod.running():
            yield

    return Starlette(lifespan=lifespan)


app = Edge("reconcile-backbones", build)

if __name__ == "__main__":
    sys.exit(run(app))
