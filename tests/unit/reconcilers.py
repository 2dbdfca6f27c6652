"""A registry in memory, and reconcilers whose provider and streams say what they are told to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from functions.reconcile_backbones.handler import Tools, World
from functions.reconcile_backbones.keepers import Keepers, Look, Pace
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.leases import MemoryLeases
from shared.adapters.memory.registry import MemoryRegistry
from shared.backbone_chart import backbone_chart
from shared.domain.errors import Unavailable
from shared.domain.registry.deciding import Change, Kept
from shared.domain.registry.deploying import Deployment, Ensured, Found, Undeployed
from shared.domain.registry.login import NO_LOGIN, Login
from shared.domain.registry.reach import Reach
from shared.domain.registry.shapes import SHARED, Access, Backbone, Cluster, Leaf, Spec
from shared.domain.registry.streams import WantedStream
from shared.domain.retention import Retention
from shared.ports.deploying import Seen
from tests.waiting import eventually

QUICK = Pace(follow_s=0.01, look_s=0.05, soon_s=0.02, lease_s=0.5, renew_s=0.1, drain_s=0.02)
EU = Cluster("eu", SHARED, "", "helm", Access(in_cluster=True), {})
HERE = Cluster("here", SHARED, "", "local", None, {})
CHART = backbone_chart()
WITHIN = 30.0


class Installed:
    """A Provider that installs nothing, and says what it is told to."""

    def __init__(self) -> None:
        self.releases: dict[str, Deployment] = {}
        self.wrong: Undeployed | None = None
        self.drift = ""
        self.up: int | None = None
        self.endpoint = "nats://10.0.0.7:4222"
        self.left = 1  # how often it isn't all gone yet
        self.calls: list[str] = []
        self.gone: list[str] = []
        self.goes_on = asyncio.Event()  # cleared: an install lasts
        self.goes_on.set()

    async def ensure(self, wanted: Deployment) -> Ensured:
        self.calls.append("ensure")
        await self.goes_on.wait()
        if self.wrong is not None:
            raise self.wrong
        drift, self.drift = self.drift, ""
        before = self.releases.get(wanted.id)
        changed = before is None or (before.spec, before.values) != (wanted.spec, wanted.values)
        self.releases[wanted.id] = wanted
        return Ensured(changed or bool(drift), drift)

    async def look(self, wanted: Deployment) -> Found:
        up = wanted.spec.replicas if self.up is None else self.up
        return Found(up, "2.15.1", self.endpoint, Leaf("nats-leaf://in:7422", "nats-leaf://out:7422"), "" if self.up is None else "no room")

    async def remove(self, wanted: Deployment) -> bool:
        self.calls.append("remove")
        if self.wrong is not None:
            raise self.wrong
        self.left -= 1
        if self.left >= 0:
            return False
        self.releases.pop(wanted.id, None)
        return True

    async def let_go(self, id: str) -> None:
        self.gone.append(id)


class Streams:
    """BackboneStreams that says what it is told to."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.wanted: dict[str, Sequence[WantedStream]] = {}

    async def ensure(self, reach: Reach, wanted: Sequence[WantedStream], login: Login = NO_LOGIN) -> Seen:
        self.wanted[reach.id] = wanted
        return self.seen

    async def let_go(self, id: str) -> None:
        self.wanted.pop(id, None)


class Install:
    """A registry, and the reconcilers that look after it."""

    def __init__(self) -> None:
        self.registry = MemoryRegistry(MemoryConfigStore())
        self.provider, self.streams = Installed(), Streams()
        self.leases: dict[str, tuple[str, float]] = {}
        self.away = False

    async def look(self) -> World:
        if self.away:
            raise Unavailable("the store can't be reached")
        return World(await self.registry.registered(), ("acme", "submit-x", "zeta"), Retention({"zeta": 3600}, 90 * 86_400))

    @asynccontextmanager
    async def reconciler(self, name: str = "one", provider: Installed | None = None, look: Look | None = None) -> AsyncIterator[Keepers]:
        tools = Tools(self.registry, {"helm": provider or self.provider}, self.streams, CHART)
        keepers, stop = Keepers(look or self.look, MemoryLeases(self.leases, name), tools, QUICK), asyncio.Event()
        task = asyncio.create_task(keepers.run(stop))
        try:
            yield keepers
        finally:
            stop.set()
            await task

    async def declare(self, id: str = "main-0a", **more: Any) -> Backbone:
        backbone = msgspec.structs.replace(Backbone(id, SHARED, "eu", id.partition("-")[0], "local", None, None, Spec(), {}), **more)
        for one in (EU, HERE, backbone):
            if not await self.registry.registered((SHARED,), f"clusters/{one.name}" if isinstance(one, Cluster) else f"backbones/{id}"):
                await self.registry.write(Change("add", one, 0), "boss")
        return backbone

    async def kept(self, id: str = "main-0a") -> Kept:
        return (await self.registry.registered((SHARED,), f"backbones/{id}"))[SHARED, f"backbones/{id}"]

    async def condition(self, type: str, id: str = "main-0a") -> tuple[str, str, str]:
        status = (await self.kept(id)).status
        found = [one for one in (status.conditions if status else ()) if one.type == type]
        return (found[0].status, found[0].reason, found[0].message) if found else ("", "", "")

    async def is_ready(self, id: str = "main-0a") -> bool:
        return (await self.condition("Ready", id))[0] == "True"

    async def turned(self, type: str, reason: str, id: str = "main-0a") -> tuple[str, str, str]:
        """The condition, once it is there for that reason."""

        async def found() -> tuple[str, str, str] | None:
            now = await self.condition(type, id)
            return now if now[1] == reason else None

        turned = await eventually(found, within=WITHIN)
        assert turned is not None
        return turned

    async def actions(self, id: str = "main-0a") -> list[str]:
        return [one.action for one in reversed(await self.registry.events(SHARED, f"backbones/{id}", 100))]


async def has_endpoint(install: Install) -> bool:
    declared = (await install.kept()).declared
    return isinstance(declared, Backbone) and declared.endpoint is not None
