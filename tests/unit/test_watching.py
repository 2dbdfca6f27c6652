"""The watch over relays: who is told what, who is woken, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from functions.logger.outcome import Schedule
from functions.logger.relay import Relay
from functions.logger.watching import Watching
from shared.adapters.memory.backbones import MemoryBackbones
from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.adapters.memory.relay_log import MemoryRelayLog, MemoryRelayWatch, Relays
from shared.domain.errors import Unavailable
from shared.domain.relaying import Gate, Watched
from tests.events import accepted
from tests.waiting import eventually

WITHIN = 30.0


class Log(MemoryRelayLog):
    """Counts how often the relay itself looks at the gate."""

    looks = 0

    async def gate(self) -> Gate:
        self.looks += 1
        return await super().gate()


class Counting(MemoryRelayWatch):
    """Counts looks, fails where it is told to, and hangs in one while `going_on` isn't set."""

    def __init__(self, logs: Sequence[MemoryRelayLog]) -> None:
        super().__init__(logs)
        self.looks = 0
        self.fails: Exception | None = None
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def look(self, backbones: Sequence[str]) -> dict[str, Watched]:
        self.looks += 1
        await self.going_on.wait()
        if self.fails is not None:
            raise self.fails
        return await super().look(backbones)


class Scene:
    """Backbones `a` and `b`, and their relays under one watch. `now` is Redis's clock in seconds."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.queue = MemoryLogQueue(clock=lambda: self.now)
        self.backbones = MemoryBackbones(["a", "b"])
        self.shared = {name: Relays(self.queue, name, clock=lambda: self.now) for name in "ab"}
        self.logs = {name: Log(shared) for name, shared in self.shared.items()}
        self.watch = Counting(list(self.logs.values()))
        self.watching = Watching(self.watch, look_s=0.005)
        quick = Schedule(look_s=0.005, longest_pause_s=0.05)
        self.relays = {name: Relay(log, name, self.backbones, MemoryMessageStore(), quick) for name, log in self.logs.items()}

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        looking = asyncio.create_task(self.watching.run())
        keeping = [asyncio.create_task(self.watching.keep(relay, stop)) for relay in self.relays.values()]
        try:
            yield
        finally:
            stop.set()
            self.watch.going_on.set()
            await asyncio.gather(*keeping)
            self.watching.stop()
            await looking

    async def after_looks(self, more: int = 10) -> None:
        """So many looks later."""
        reached = self.watch.looks + more
        await eventually(lambda: self.watch.looks >= reached, within=WITHIN)


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_relays_have_their_leases_and_ask_nothing_themselves_when_nothing_waits(scene: Scene) -> None:
    async with scene.at_work():
        await eventually(lambda: all(relay.leased for relay in scene.relays.values()), within=WITHIN)
        await scene.after_looks()  # the streams are looked at once: the connection is new
        before = {name: log.looks for name, log in scene.logs.items()}
        looks = scene.watch.looks
        await scene.after_looks()
        assert {name: log.looks - before[name] for name, log in scene.logs.items()} == dict.fromkeys("ab", scene.watch.looks - looks), (
            "the watch's own, and no more"
        )
    assert {shared.until for shared in scene.shared.values()} == {0.0}, "given up"


async def test_only_who_has_something_to_do_is_woken_and_delivers(scene: Scene) -> None:
    async with scene.at_work():
        await scene.queue.append([accepted("e1", targets=("a",))])
        scene.now += 6
        await eventually(lambda: scene.relays["a"].delivered == 1, within=WITHIN)
        await eventually(lambda: scene.relays["a"].state == "open", within=WITHIN)
    assert scene.relays["b"].delivered == 0


async def test_a_backbone_that_is_away_is_left_alone_until_it_is_back_and_slows_no_other(scene: Scene) -> None:
    scene.backbones.down.add("a")
    await scene.queue.append([accepted("e1", targets=("a",)), accepted("e2", targets=("b",))])
    scene.now += 6
    async with scene.at_work():
        await eventually(lambda: scene.relays["b"].delivered == 1, within=WITHIN)
        await eventually(lambda: scene.relays["a"].state == "held", within=WITHIN)
        await scene.after_looks()
        asked, looks = scene.logs["a"].looks, scene.watch.looks
        await scene.after_looks()
        assert scene.logs["a"].looks - asked == scene.watch.looks - looks, "the watch's own, and no more"
        scene.backbones.down.clear()
        await eventually(lambda: scene.relays["a"].delivered == 1, within=WITHIN)


async def test_a_relay_is_told_that_its_lease_is_anothers_when_it_is(scene: Scene) -> None:
    async with scene.at_work():
        await eventually(lambda: scene.relays["a"].leased, within=WITHIN)
        scene.shared["a"].holder = "two"
        await eventually(lambda: not scene.relays["a"].leased, within=WITHIN)
        assert scene.relays["b"].leased


@pytest.mark.parametrize("error", [Unavailable("no answer"), RuntimeError("a fault of ours")])
async def test_it_looks_again_when_a_look_failed(scene: Scene, error: Exception) -> None:
    scene.watch.fails = error
    async with scene.at_work():
        await scene.after_looks(3)
        scene.watch.fails = None
        await eventually(lambda: all(relay.leased for relay in scene.relays.values()), within=WITHIN)


async def test_no_lease_is_taken_again_when_a_relay_ends_while_a_look_is_under_way(scene: Scene) -> None:
    async with scene.at_work():
        await eventually(lambda: all(relay.leased for relay in scene.relays.values()), within=WITHIN)
        scene.watch.going_on.clear()
        await scene.after_looks(1)
    assert {shared.until for shared in scene.shared.values()} == {0.0}
