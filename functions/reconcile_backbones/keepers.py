"""Who looks after which backbone: a keeper for each that this process has the lease of, woken by every change that concerns it."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from functions.reconcile_backbones.handler import Looked, Tools, World, look_after, take_away, tell_fault
from functions.reconcile_backbones.in_turn import InTurn
from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.registry.deciding import Kept, Place, cluster_of
from shared.domain.registry.deploying import hubs_of
from shared.domain.registry.shapes import Backbone
from shared.domain.revisions import Stale
from shared.pause import doubled, set_within
from shared.ports import Leases

FOLLOW_S = 1.0  # between two looks at what is declared
LOOK_S = 5.0  # between two looks at a backbone that is as it should be
SOON_S = 1.0  # while it is starting or going
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0  # after failures, doubled each time
LEASE_S, RENEW_S = 15.0, 4.0
DRAIN_S = 3.0  # from when it is to go until it is taken away: doors hear of it within a second, and finish what they have in hand

log = logging.getLogger(__name__)

Look = Callable[[], Awaitable[World]]


class Pace(NamedTuple):
    """The times above; tests have others."""

    follow_s: float = FOLLOW_S
    look_s: float = LOOK_S
    soon_s: float = SOON_S
    lease_s: float = LEASE_S
    renew_s: float = RENEW_S
    drain_s: float = DRAIN_S


class Keeper:
    """Looks after one backbone until it is told to stop, or the backbone is forgotten; only while its lease is `held`, by our own clock."""

    def __init__(self, place: Place, world: World, tools: Tools, pace: Pace, held: Callable[[], bool]) -> None:
        self.place = place
        self._world, self._tools, self._pace, self._held = world, tools, pace, held
        self._concern = concern(place, world)
        self._woken = asyncio.Event()
        self._failures = 0
        self._status = None if place not in world.registered else world.registered[place].status
        self._drained_at: float | None = None
        self.stopping = False

    def tell(self, world: World, *, changed: bool) -> None:
        """What is declared now, and whether anything of it `changed` that may concern anybody. Wakes it where that concerns it."""
        self._world = world
        if not changed:
            return
        now = concern(self.place, world)
        if now != self._concern:
            self._concern, self._failures = now, 0
            self._woken.set()

    def stop(self) -> None:
        """End after the look that is under way."""
        self.stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Never raises for what may go wrong with a backbone."""
        while not self.stopping:
            self._woken.clear()
            kept = self._world.registered.get(self.place)
            if kept is None:
                return
            if not self._held():  # this process was stopped for a while, say: another may be at it
                await set_within(self._woken, self._pace.follow_s)
                continue
            looked = await self._look(kept._replace(status=self._status))  # nobody else tells, and the world may be a second old
            if looked.gone:
                return
            self._status = looked.status or self._status
            await set_within(self._woken, self._pause(looked))

    async def _look(self, kept: Kept) -> Looked:
        try:
            if _backbone(kept).deleting:
                return await self._end(kept)
            return await look_after(kept, self._world, self._tools, _now())
        except Stale:
            return Looked(settled=False)  # it was changed meanwhile: the next look at what is declared has it
        except Unavailable as error:
            log.warning("%s: %s", self.place[1], error.detail)
        except SwitchboardError as error:
            log.error("%s: %s", self.place[1], error.detail)
        except Exception:  # whatever it is, the others must be looked after, and this one again
            log.exception("%s: the look failed", self.place[1])
            return await self._told_of_fault(kept)
        return Looked(settled=False, failed=True)

    async def _told_of_fault(self, kept: Kept) -> Looked:
        try:
            return await tell_fault(kept, self._tools, _now())
        except SwitchboardError as error:
            log.warning("%s: %s", self.place[1], error.detail)
            return Looked(settled=False, failed=True)

    async def _end(self, kept: Kept) -> Looked:
        """Take it away once the doors know that it takes nothing new."""
        now = asyncio.get_running_loop().time()
        self._drained_at = self._drained_at or now + self._pace.drain_s
        if now < self._drained_at:
            return Looked(settled=False)
        return await take_away(kept, self._world, self._tools, _now())

    def _pause(self, looked: Looked) -> float:
        self._failures = self._failures + 1 if looked.failed else 0
        if self._failures:
            return doubled(FIRST_PAUSE_S, LONGEST_PAUSE_S, self._failures) * random.uniform(0.8, 1.0)  # noqa: S311  # spread
        return self._pace.look_s if looked.settled else self._pace.soon_s


class Keepers:
    """`look` gives what is declared; `leases` says which of it is this process's to look after."""

    def __init__(self, look: Look, leases: Leases, tools: Tools, pace: Pace | None = None) -> None:
        self._look, self._leases, self._pace = look, leases, pace or Pace()
        self._tools = tools._replace(registry=InTurn(tools.registry))
        self._working: dict[Place, tuple[Keeper, asyncio.Task[None]]] = {}
        self._held: set[str] = set()
        self._held_until = 0.0
        self._bearing: object = None
        self.lost = False  # the registry can't be reached

    @property
    def count(self) -> int:
        """How many backbones are looked after here."""
        return len(self._working)

    @property
    def ids(self) -> set[str]:
        """Which backbones these are."""
        return {path.partition("/")[2] for _, path in self._working}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then what is under way is finished, and the leases are given up."""
        try:
            while True:
                await self._follow()
                if await set_within(stop, self._pace.follow_s):
                    return
        finally:
            await self._leave(list(self._working), at_once=False)
            try:
                await self._leases.release(self._held)
            except Unavailable:
                log.warning("the leases could not be given up: they end by themselves")

    async def _follow(self) -> None:
        try:
            # No longer than the leases last: a store that doesn't answer must not keep us from letting go, nor a stop of this process.
            async with asyncio.timeout_at(self._held_until if self._working else None):
                world = await self._look()
                wanted = {name_of(place): place for place, kept in world.registered.items() if isinstance(kept.declared, Backbone)}
                await self._hold(wanted)
            self.lost = False
        except (Unavailable, TimeoutError) as error:
            if not self.lost:
                log.warning("the registry can't be reached: %s", getattr(error, "detail", "it does not answer"))
            self.lost = True
            if not self._has_leases():  # another process may have them by now
                await self._leave(list(self._working), at_once=True)
            return
        ours = {wanted[name] for name in self._held if name in wanted}
        await self._leave([place for place in self._working if place not in ours], at_once=True)
        now = bearing(world)
        changed, self._bearing = now != self._bearing, now
        for place in ours:
            self._keep(place, world, changed)

    def _has_leases(self) -> bool:
        return asyncio.get_running_loop().time() < self._held_until

    async def _hold(self, wanted: Mapping[str, Place]) -> None:
        now = asyncio.get_running_loop().time()
        fresh = self._held_until - self._pace.lease_s + self._pace.renew_s > now
        if fresh and self._held >= wanted.keys():
            return
        self._held = await self._leases.hold(sorted(wanted), self._pace.lease_s)
        self._held_until = now + self._pace.lease_s

    def _keep(self, place: Place, world: World, changed: bool) -> None:
        keeper, task = self._working.get(place, (None, None))
        if keeper is not None and task is not None and not task.done():
            keeper.tell(world, changed=changed)
            return
        if task is not None:
            task.result()  # a fault of ours: the process ends, and is started again
        keeper = Keeper(place, world, self._tools, self._pace, self._has_leases)
        self._working[place] = keeper, asyncio.create_task(keeper.run(), name=f"keeper of {place[1]}")

    async def _leave(self, places: list[Place], *, at_once: bool) -> None:
        """Look after these no more. `at_once`: they may be another process's already, so what is under way is broken off."""
        leaving = [(place, *self._working.pop(place)) for place in places]
        for _, keeper, task in leaving:
            keeper.stop()
            if at_once:
                task.cancel()
        await asyncio.gather(*(task for _, _, task in leaving), return_exceptions=True)
        await asyncio.gather(*(self._let_go(place[1].partition("/")[2]) for place, _, _ in leaving))  # one may have to wait for a server

    async def _let_go(self, id: str) -> None:
        await self._tools.streams.let_go(id)
        for provider in self._tools.providers.values():
            await provider.let_go(id)


def bearing(world: World) -> object:
    """What of all that is declared may concern anybody: what was found of a backbone is its keeper's own news, but for a hub's leaf
    listener."""
    found = {place: (kept.declared, None if kept.status is None else kept.status.leaf) for place, kept in world.registered.items()}
    return found, world.orgs, world.retention


def concern(place: Place, world: World) -> object:
    """What of all that is declared has a bearing on one backbone."""
    kept = world.registered.get(place)
    if kept is None:
        return None
    backbone = _backbone(kept)
    cluster = cluster_of(backbone.org, backbone.cluster, world.registered)
    hubs = () if cluster is None else tuple(hubs_of(backbone, cluster, world.registered))
    orgs = (backbone.org,) if backbone.org else world.orgs
    return backbone, cluster, hubs, orgs, world.retention


def name_of(place: Place) -> str:
    """What its lease is called."""
    return f"{place[0]}/{place[1]}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _backbone(kept: Kept) -> Backbone:
    assert isinstance(kept.declared, Backbone)
    return kept.declared
