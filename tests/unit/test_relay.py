"""The relay: what a held backbone gets, in which order, and when doors may publish again. A step is one look at the gate."""

from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace

import pytest

from functions.logger import relay as relay_module
from functions.logger.outcome import Schedule
from functions.logger.relay import Relay
from shared.adapters.memory.backbones import MemoryBackbones
from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.relay_log import MemoryRelayLog, MemoryRelayWatch, Relays
from shared.domain.errors import Conflict, Unavailable
from shared.domain.message import Message
from shared.domain.publishing import Outgoing, PublishedGroup
from shared.domain.record import DeadLetter, Deliveries
from shared.domain.repairing import Recorded
from tests.events import accepted


class Store:
    """What the store knows of deliveries; `down` makes it unavailable."""

    def __init__(self) -> None:
        self.taken: set[tuple[bytes, bytes]] = set()
        self.down = False
        self.asked: list[int] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None  # what happens while it answers

    async def bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]:
        return {}

    async def recorded(
        self, backbone: str, org: str, since: int, after: Recorded | None, limit: int, *, every: bool = False
    ) -> list[Recorded]:
        return []

    async def delivered(self, backbone: str, wanted: Sequence[tuple[bytes, bytes]]) -> set[tuple[bytes, bytes]]:
        if self.down:
            raise Unavailable("the store is down")
        self.asked.append(len(wanted))
        if self.meanwhile is not None:
            await self.meanwhile()
        return self.taken & set(wanted)


async def watched(relay: Relay, log: MemoryRelayLog, worker: str = "one") -> None:
    """The relay, told what a look at the log found."""
    asked = vars(relay_module)["time"].monotonic()  # which a test may have put another clock for
    relay.tell((await MemoryRelayWatch([log], worker).look(["local"])).get("local"), asked)


class Scene:
    """A log, a backbone, a store, and a relay with the lease. `now` is Redis's clock in seconds."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.queue = MemoryLogQueue(clock=lambda: self.now)
        self.backbones = MemoryBackbones(["local"])
        self.store = Store()
        self.relays = Relays(self.queue, "local", clock=lambda: self.now)
        self.log = MemoryRelayLog(self.relays, "one")
        self.relay = Relay(self.log, "local", self.backbones, self.store, Schedule())

    async def step(self) -> float:
        await watched(self.relay, self.log)
        return await self.relay.step()

    async def work(self, steps: int = 50) -> None:
        """Steps until there is nothing to do at once."""
        for _ in range(steps):
            if await self.step() > 0:
                return
        raise AssertionError("still busy")

    def stored(self, org: str = "acme") -> list[str]:
        """The event ids on the org's stream, in order."""
        stream = self.backbones.streams.get(("local", org))
        return (
            [line[7:] for _, headers, _ in stream.stored for line in headers.split("\r\n") if line.startswith("ce-id: ")] if stream else []
        )

    def records(self, kind: type) -> list[object]:
        return [record for flush in self.queue.flushes for _, record in flush.new() if isinstance(record, kind)]

    @property
    def state(self) -> str:
        return self.queue.held.get("local", "open").split(" ")[0]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_nothing_is_relayed_when_the_gate_is_open(scene: Scene) -> None:
    await scene.queue.append([accepted("e1")])
    assert await scene.step() == 0.5
    assert scene.stored() == []
    assert scene.state == "open"


async def test_everything_is_published_in_log_order_and_the_gate_opens_when_it_was_held(scene: Scene) -> None:
    for number in range(300):
        await scene.queue.append([accepted(f"e{number}-{place}") for place in range(10)])
    scene.now += 6
    await scene.work()
    assert scene.stored() == [f"e{number}-{place}" for number in range(300) for place in range(10)]
    assert scene.state == "open"
    assert not scene.queue.pending["local"]
    assert sum(len(record.sequences) for record in scene.records(Deliveries) if isinstance(record, Deliveries)) == 3000


async def test_a_young_entry_is_published_too_when_the_backbone_is_held(scene: Scene) -> None:
    await scene.queue.append([accepted("old")])
    scene.now += 6
    await scene.queue.append([accepted("young")])
    await scene.work()
    assert scene.stored() == ["old", "young"]


async def test_each_org_has_its_own_order_when_several_wait(scene: Scene) -> None:
    for number in range(5):
        await scene.queue.append([accepted(f"a{number}", org="acme"), accepted(f"g{number}", org="globex")])
    scene.now += 6
    await scene.work()
    assert scene.stored("acme") == [f"a{number}" for number in range(5)]
    assert scene.stored("globex") == [f"g{number}" for number in range(5)]


async def test_everything_stays_pending_when_the_backbone_is_unreachable(scene: Scene) -> None:
    await scene.queue.append([accepted("e1")])
    scene.backbones.down.add("local")
    scene.now += 6
    for _ in range(3):
        assert await scene.step() > 0
    assert scene.state == "held"
    assert len(scene.queue.pending["local"]) == 1
    scene.backbones.down.clear()
    await scene.work()
    assert (scene.stored(), scene.state) == (["e1"], "open")


async def test_a_refusal_moves_to_its_own_schedule_and_holds_nobody(scene: Scene) -> None:
    await scene.queue.append([accepted("good"), accepted("bad"), accepted("fine")])
    scene.backbones.refuse["bad"] = "maximum bytes exceeded"
    scene.now += 6
    await scene.work()
    assert scene.stored() == ["good", "fine"]
    assert scene.state == "open"
    assert [(retry.index, retry.attempts) for retry in scene.relays.schedule] == [(1, 1)]
    refused = [record for record in scene.records(Deliveries) if isinstance(record, Deliveries) and record.error]
    assert [(record.error, record.attempt, record.by) for record in refused] == [("maximum bytes exceeded", 1, "relay")]


async def test_a_refusal_is_delivered_when_the_backbone_takes_it_later(scene: Scene) -> None:
    await scene.queue.append([accepted("bad")])
    scene.backbones.refuse["bad"] = "no"
    scene.now += 6
    await scene.work()
    scene.backbones.refuse.clear()
    await scene.step()
    assert scene.stored() == [], "not due yet"
    scene.now += 0.11
    await scene.step()
    assert scene.stored() == ["bad"]
    assert scene.relays.schedule == {}


async def test_a_refusal_is_a_dead_letter_when_all_attempts_are_used(scene: Scene) -> None:
    await scene.queue.append([accepted("bad")])
    scene.backbones.refuse["bad"] = "no"
    scene.now += 6
    await scene.work()
    waits = []
    while scene.relays.schedule:
        (due,) = scene.relays.schedule.values()
        waits.append(round(due / 1e6 - scene.now, 1))
        scene.now = due / 1e6 + 0.001
        await scene.step()
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4]
    (dead,) = scene.records(DeadLetter)
    assert isinstance(dead, DeadLetter)
    assert (dead.reason, dead.attempts, dead.backbone) == ("no", 8, "local")


async def test_a_retry_is_not_counted_when_the_backbone_is_unreachable(scene: Scene) -> None:
    await scene.queue.append([accepted("bad")])
    scene.backbones.refuse["bad"] = "no"
    scene.now += 6
    await scene.work()
    scene.backbones.down.add("local")
    scene.now += 60
    await scene.step()
    assert [retry.attempts for retry in scene.relays.schedule] == [1]


async def test_old_entries_are_not_published_when_their_delivery_is_on_record(scene: Scene) -> None:
    (first, _) = await scene.queue.append([accepted("delivered"), accepted("missing")])
    scene.store.taken.add((first.message.id, first.message.digest))
    scene.now += 121
    await scene.work()
    assert scene.stored() == ["missing"]
    assert scene.state == "open"


async def test_the_store_is_not_asked_when_entries_are_young(scene: Scene) -> None:
    await scene.queue.append([accepted("e1")])
    scene.now += 60
    await scene.work()
    assert scene.store.asked == []


async def test_old_entries_are_published_when_the_store_cannot_be_asked(scene: Scene) -> None:
    await scene.queue.append([accepted("e1")])
    scene.store.down = True
    scene.now += 121
    await scene.work()
    assert scene.stored() == ["e1"]


async def test_entries_are_dead_letters_when_the_backbone_was_gone_for_a_day(scene: Scene) -> None:
    await scene.queue.append([accepted("old")])
    scene.now += 80_000
    await scene.queue.append([accepted("young")])
    scene.backbones.down.add("local")
    scene.now += 6_401
    await scene.step()
    await scene.step()
    (dead,) = scene.records(DeadLetter)
    assert isinstance(dead, DeadLetter)
    assert dead.id == accepted("old").message.id
    assert dead.reason == "not reachable for 24 h"
    assert len(scene.queue.pending["local"]) == 1


async def test_the_gate_is_held_again_when_a_relay_stopped_while_it_was_closing(scene: Scene) -> None:
    await scene.queue.append([accepted("e1")])
    scene.now += 6
    await scene.log.lease()
    assert (await scene.log.turn(await scene.log.gate(), "closing"))[0]
    assert await scene.step() == 0
    assert scene.state == "held"
    await scene.work()
    assert (scene.stored(), scene.state) == (["e1"], "open")


async def test_what_doors_log_while_it_is_closing_is_left_to_them(scene: Scene) -> None:
    await scene.queue.append([accepted("before")])
    scene.now += 6

    class LateDoor(MemoryBackbones):
        """A door logs one more when the relay publishes its last."""

        async def publish(self, backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
            await scene.queue.append([accepted("during")])
            return await super().publish(backbone, org, group)

    late = LateDoor(["local"])
    scene.backbones = late
    scene.relay = Relay(scene.log, "local", late, scene.store)
    await scene.work()
    assert scene.stored() == ["before"]
    assert scene.state == "open"
    assert len(scene.queue.pending["local"]) == 1


async def test_a_relay_without_the_lease_does_nothing(scene: Scene) -> None:
    await scene.queue.append([accepted("e1")])
    scene.now += 6
    rival = Relay(MemoryRelayLog(scene.relays, "two"), "local", scene.backbones, scene.store)
    assert await scene.log.lease()
    with pytest.raises(Conflict):
        await rival.step()
    assert scene.stored() == []


async def test_a_relay_that_was_stopped_publishes_nothing_when_its_lease_has_lapsed_meanwhile(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = await scene.queue.append([accepted("e1")])
    scene.now += 121
    monkeypatch.setattr(relay_module, "time", SimpleNamespace(monotonic=lambda: scene.now))

    async def stop_for_four_seconds() -> None:
        """As SIGSTOP does, between two lines; another relay takes over and delivers."""
        scene.store.meanwhile = None
        scene.now += 4
        two = MemoryRelayLog(scene.relays, "two")
        rival = Relay(two, "local", scene.backbones, scene.store)
        await watched(rival, two, "two")
        while not await rival.step():
            pass
        scene.store.taken.add((entry.message.id, entry.message.digest))

    scene.store.meanwhile = stop_for_four_seconds
    published: list[str] = []
    publish = scene.backbones.publish

    async def counted(backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        published.extend(outgoing.message.event_id for outgoing in group)
        return await publish(backbone, org, group)

    monkeypatch.setattr(scene.backbones, "publish", counted)
    with pytest.raises(Conflict):
        await scene.step()
    assert published == ["e1"], "the rival's"
    assert not scene.relay.leased


async def test_records_have_the_time_of_redis_whatever_the_relays_own_clock_says(scene: Scene) -> None:
    await scene.queue.append([accepted("e1")])
    scene.now += 6
    await scene.work()
    (record,) = scene.records(Deliveries)
    assert isinstance(record, Deliveries)
    assert abs(record.time / 1e6 - scene.now) < 1


async def test_a_topic_has_its_own_patience_when_config_says_so(scene: Scene) -> None:
    with_own(scene, Schedule(give_up_after_s=60))
    await scene.queue.append([accepted("1", topic="short"), accepted("2", topic="long")])
    scene.backbones.down.add("local")
    scene.now += 90
    await scene.step()
    (dead,) = scene.records(DeadLetter)
    assert isinstance(dead, DeadLetter)
    assert (dead.id, dead.reason) == (accepted("1").message.id, "not reachable for 60 s")
    scene.backbones.down.clear()
    await scene.work()
    assert scene.stored() == ["2"]


async def test_what_waited_too_long_is_not_delivered_when_the_backbone_is_back_first(scene: Scene) -> None:
    with_own(scene, Schedule(give_up_after_s=60))
    await scene.queue.append([accepted("1", topic="long"), accepted("2", topic="short")])
    scene.now += 90
    await scene.work()
    assert scene.stored() == ["1"]
    assert [record.id for record in scene.records(DeadLetter) if isinstance(record, DeadLetter)] == [accepted("2").message.id]
    assert scene.state == "open"


async def test_a_topic_has_its_own_attempts_and_pauses_when_config_says_so(scene: Scene) -> None:
    with_own(scene, Schedule(attempts=2, initial_ms=700))
    await scene.queue.append([accepted("bad", topic="short")])
    scene.backbones.refuse["bad"] = "no"
    scene.now += 6
    await scene.work()
    (due,) = scene.relays.schedule.values()
    assert round(due / 1e6 - scene.now, 1) == 0.7
    scene.now += 1
    await scene.step()
    (dead,) = scene.records(DeadLetter)
    assert isinstance(dead, DeadLetter)
    assert (dead.reason, dead.attempts) == ("no", 2)
    assert scene.relays.schedule == {}


async def test_a_retry_is_buried_when_config_allows_fewer_attempts_by_now(scene: Scene) -> None:
    await scene.queue.append([accepted("bad", topic="short")])
    scene.backbones.refuse["bad"] = "no"
    scene.now += 6
    await scene.work()
    with_own(scene, Schedule(attempts=1))
    scene.backbones.refuse.clear()
    scene.now += 1
    await scene.step()
    (dead,) = scene.records(DeadLetter)
    assert isinstance(dead, DeadLetter)
    assert (dead.reason, dead.attempts, scene.stored(), scene.relays.schedule) == ("refused 1 times", 1, [], {})


def with_own(scene: Scene, short: Schedule) -> None:
    """A relay for which topic `short` has a schedule of its own, and everything else the default."""
    usual = Schedule()
    scene.relay = Relay(
        scene.log, "local", scene.backbones, scene.store, usual, lambda message: short if message.topic == "short" else usual
    )
