"""The relay: what a held backbone gets, in which order, and when doors may publish again. A step is one look at the gate."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from functions.logger import relay as relay_module
from functions.logger.relay import Relay
from shared.adapters.memory.backbones import MemoryBackbones
from shared.adapters.memory.relay_log import MemoryRelayLog
from shared.domain.errors import Conflict
from shared.domain.publishing import Outgoing, Published, PublishedGroup
from shared.domain.record import Deliveries
from tests.events import accepted
from tests.unit.relay_scene import Scene, watched


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


async def test_entries_are_looked_up_when_the_clock_went_back_since_they_were_logged(scene: Scene) -> None:
    """Nobody knows how old they are."""
    (first, _) = await scene.queue.append([accepted("delivered"), accepted("missing")])
    scene.store.taken.add((first.message.id, first.message.digest))
    await scene.log.lease()
    assert (await scene.log.turn(await scene.log.gate(), "held"))[0]
    scene.now -= 3_600
    await scene.work()
    assert scene.stored() == ["missing"]


async def test_a_single_message_is_tried_when_the_backbone_did_not_answer_the_last_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backbone that can't keep up is not given a thousand messages each time."""
    await scene.queue.append([accepted(f"e{number}") for number in range(5)])
    scene.now += 6
    groups: list[int] = []

    async def no_answer(backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        groups.append(len(group))
        return PublishedGroup("local", "sb-acme", "", ("",) * len(group), [Published(lost="no answer")] * len(group))

    with monkeypatch.context() as patched:
        patched.setattr(scene.backbones, "publish", no_answer)
        for _ in range(4):
            await scene.step()
    assert groups == [5, 1, 1, 1]
    await scene.work()
    assert (scene.stored(), scene.state) == ([f"e{number}" for number in range(5)], "open")


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
