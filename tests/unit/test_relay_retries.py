"""The relay: what it tries again, how often and for how long, and what is a dead letter then. A step is one look at the gate."""

import msgspec
import pytest

from functions.logger.outcome import Schedule
from functions.logger.relay import Relay
from shared.domain.record import DeadLetter, Deliveries
from shared.domain.relaying import Retry
from tests.events import accepted
from tests.unit.relay_scene import Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


def with_own(scene: Scene, short: Schedule) -> None:
    """A relay for which topic `short` has a schedule of its own, and everything else the default."""
    usual = Schedule()
    scene.relay = Relay(
        scene.log, "local", scene.backbones, scene.store, usual, lambda message: short if message.topic == "short" else usual
    )


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


async def test_retries_whose_bodies_are_at_hand_go_on_when_the_store_is_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.queue.append([accepted("gone"), accepted("there")])
    scene.backbones.refuse.update(gone="no", there="no")
    scene.now += 6
    await scene.work()
    scene.backbones.refuse.clear()
    scene.now += 1
    retries = scene.log.retries

    async def one_without_its_body(limit: int) -> list[Retry]:
        return [
            msgspec.structs.replace(retry, message=None) if retry.id == accepted("gone").message.id else retry
            for retry in await retries(limit)
        ]

    monkeypatch.setattr(scene.log, "retries", one_without_its_body)
    scene.store.down = True
    await scene.step()
    assert scene.stored() == ["there"]
    assert [retry.id for retry in scene.relays.schedule] == [accepted("gone").message.id], "it waits for the store, and isn't buried"
    assert scene.records(DeadLetter) == []


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
