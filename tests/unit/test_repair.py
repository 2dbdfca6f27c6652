"""Repair: a stream that lost what it took gets it again, before anything new; one that didn't is left alone."""

import time
from collections.abc import Sequence

import msgspec
import pytest

from functions.logger.outcome import Schedule
from functions.logger.relay import Relay
from shared.adapters.memory.backbones import MemoryBackbones, MemoryStream
from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.adapters.memory.relay_log import MemoryRelayLog, MemoryRelayWatch, Relays
from shared.domain.errors import Unavailable
from shared.domain.message import Message
from shared.domain.publishing import Outgoing
from shared.domain.record import Deliveries
from shared.domain.repairing import InStream, Mark, Recorded
from tests.events import accepted

US = 1_000_000


class Scene:
    """A log, a backbone, a store that has all of it, and a relay. `now` is Redis's clock in seconds."""

    def __init__(self, ours: Sequence[str] | None = None) -> None:
        self.now = 1_800_000_000.0
        self.queue = MemoryLogQueue(clock=lambda: self.now)
        self.backbones = MemoryBackbones(["local"])
        self.store = MemoryMessageStore()
        self.relays = Relays(self.queue, "local", clock=lambda: self.now)
        self.log = MemoryRelayLog(self.relays, "one")
        self._ours = ours
        self._written = 0
        self.relay = self.new_relay()

    def new_relay(self) -> Relay:
        return Relay(self.log, "local", self.backbones, self.store, Schedule(), ours=self._is_ours)

    def _is_ours(self, message: Message) -> bool:
        return self._ours is None or message.event_id in self._ours

    async def deliver(self, *event_ids: str, org: str = "acme") -> None:
        """What a door does that may publish: log, publish, note it. A second passes each time."""
        self.now += 1
        entries = await self.queue.append([accepted(event_id, org=org) for event_id in event_ids])
        published = await self.backbones.publish("local", org, [Outgoing(entry.message, 1) for entry in entries])
        ids = b"".join(entry.message.id for entry in entries)
        sequences = tuple(result.sequence for result in published.results)
        taken = Deliveries(org, "local", published.stream, published.created, int(self.now * US), ids, published.subjects, sequences)
        self.queue.delivered(entries, taken)
        await self.write()

    async def write(self) -> None:
        """What loggers do."""
        await self.store.write(0, self.queue.flushes[self._written :])
        self._written = len(self.queue.flushes)

    async def work(self) -> None:
        """Steps until there is nothing to do at once, the store being written to in between."""
        for _ in range(50):
            self.now += 0.01
            await self.watched()
            if await self.relay.step() > 0:
                return
            await self.write()
        raise AssertionError("still busy")

    async def watched(self) -> None:
        """A look at the log, which the relay is told of."""
        self.relay.tell((await MemoryRelayWatch([self.log]).look(["local"])).get("local"), time.monotonic())

    async def again(self) -> None:
        """The relay is connected anew, and works."""
        self.backbones.connections += 1
        await self.work()

    def stream(self, org: str = "acme") -> MemoryStream:
        return self.backbones.streams["local", org]

    def stored(self, org: str = "acme") -> list[str]:
        """The event ids on the org's stream, in order; those that repair put there with a `+`."""
        blocks = [headers for _, headers, _ in self.stream(org).stored]
        return ["+" * ("ce-sbrepair: true" in block) + block.split("ce-id: ")[1].split("\r\n")[0] for block in blocks]

    @property
    def state(self) -> str:
        return self.queue.held.get("local", "open").split(" ")[0]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_nothing_is_published_when_the_stream_has_everything(scene: Scene) -> None:
    await scene.deliver("e1", "e2")
    await scene.deliver("e3")
    await scene.again()
    await scene.again()
    assert (scene.stored(), scene.state) == (["e1", "e2", "e3"], "open")


async def test_what_a_stream_lost_is_there_again_in_order_when_it_came_back_with_an_old_store(scene: Scene) -> None:
    for number in range(20):
        await scene.deliver(f"e{number}")
    await scene.work()
    scene.stream().lose(8)
    await scene.again()
    assert scene.stored() == [f"e{number}" for number in range(7)] + [f"+e{number}" for number in range(7, 20)]
    assert scene.state == "open"
    assert scene.relay.repaired == 13
    await scene.again()
    assert len(scene.stored()) == 20


async def test_everything_is_there_again_when_the_stream_was_made_anew(scene: Scene) -> None:
    for number in range(5):
        await scene.deliver(f"e{number}")
    await scene.work()
    del scene.backbones.streams["local", "acme"]
    await scene.again()
    assert scene.stored() == [f"+e{number}" for number in range(5)]
    assert scene.state == "open"


@pytest.mark.parametrize("new", [3, 40], ids=["fewer than were lost", "more than were lost"])
async def test_what_was_lost_is_there_again_when_new_messages_took_its_sequences(scene: Scene, new: int) -> None:
    for number in range(20):
        await scene.deliver(f"e{number}")
    await scene.work()
    scene.stream().lose(11)
    for number in range(new):
        await scene.deliver(f"n{number}")
    await scene.work()
    scene.backbones.connections += 1
    await scene.work()
    kept, fresh = [f"e{number}" for number in range(10)], [f"n{number}" for number in range(new)]
    assert scene.stored() == [*kept, *fresh, *(f"+e{number}" for number in range(10, 20))]
    await scene.again()
    assert len(scene.stored()) == 20 + new


async def test_what_was_lost_is_there_again_when_it_took_longer_than_a_step_backwards_goes(scene: Scene) -> None:
    """The last message is found at once, and all that is recorded near it is lost as well."""
    for number in range(20):
        scene.now += 30
        await scene.deliver(f"e{number}")
    await scene.work()
    scene.stream().lose(3)
    await scene.again()
    assert scene.stored() == ["e0", "e1", *(f"+e{number}" for number in range(2, 20))]


@pytest.mark.parametrize("since", [30, 100, 1_000], ids=["half a minute", "more than one", "a quarter of an hour"])
async def test_what_was_lost_is_there_again_when_other_shards_published_since(since: int) -> None:
    """What they published is there, and is older than the first step backwards goes."""
    scene = Scene(ours=[f"e{number}" for number in range(20)])
    for number in range(20):
        await scene.deliver(f"e{number}")
    await scene.work()
    scene.stream().lose(11)
    new = [f"n{number}" for number in range(25)]
    for event_id in new:
        scene.now += since / len(new) - 1
        await scene.deliver(event_id)
    await scene.again()
    assert scene.stored() == [*(f"e{number}" for number in range(10)), *new, *(f"+e{number}" for number in range(10, 20))]
    assert scene.state == "open"


async def test_it_looks_back_no_further_when_a_repair_broke_off_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """All has been given again then, under other sequences; what is still in doubt is a delivery of before."""
    scene = Scene(ours=[f"e{number}" for number in range(20)])
    for number in range(20):
        await scene.deliver(f"e{number}")
    await scene.work()
    scene.stream().lose(11)
    for number in range(25):
        await scene.deliver(f"n{number}")
    with monkeypatch.context() as patch:
        patch.setattr(scene.log, "mark", broken_off)
        scene.backbones.connections += 1
        await scene.watched()
        assert await scene.relay.step() == 0.0  # held
        with pytest.raises(Unavailable):
            await scene.relay.step()
    whole = scene.stored()
    assert whole[-10:] == [f"+e{number}" for number in range(10, 20)]
    asked, recorded = [], scene.store.recorded

    async def noted(backbone: str, org: str, since: int, after: Recorded | None, limit: int, *, every: bool = False) -> list[Recorded]:
        asked.append(since)
        return await recorded(backbone, org, since, after, limit, every=every)

    monkeypatch.setattr(scene.store, "recorded", noted)
    scene.now += 1
    await scene.write()
    await scene.work()
    assert (scene.stored(), scene.state) == (whole, "open")
    assert scene.now * US - min(asked) < 600 * US


async def broken_off(org: str, mark: Mark | None) -> None:
    raise Unavailable("the log does not answer")


async def test_what_was_lost_is_there_again_when_another_cluster_s_clock_is_a_minute_ahead(scene: Scene) -> None:
    await scene.deliver("first")
    scene.now += 60
    await scene.deliver("another-cluster-s")
    scene.now -= 60
    await scene.deliver("lost-1")
    scene.now += 100
    await scene.deliver("lost-2")
    await scene.work()
    scene.stream().lose(3)
    scene.now += 68  # the second step backwards begins between the two
    await scene.again()
    assert scene.stored() == ["first", "another-cluster-s", "+lost-1", "+lost-2"]


async def test_what_was_lost_is_there_again_when_new_messages_went_to_a_stream_made_anew(scene: Scene) -> None:
    await scene.deliver("e1", "e2")
    await scene.work()
    del scene.backbones.streams["local", "acme"]
    await scene.deliver("n1", "n2", "n3")
    await scene.again()
    assert scene.stored() == ["n1", "n2", "n3", "+e1", "+e2"]


async def test_other_orgs_are_left_alone_when_one_lost_something(scene: Scene) -> None:
    await scene.deliver("e1", "e2")
    await scene.deliver("g1", org="globex")
    await scene.work()
    scene.stream().lose(2)
    await scene.again()
    assert (scene.stored(), scene.stored("globex")) == (["e1", "+e2"], ["g1"])


async def test_repair_comes_before_what_is_pending(scene: Scene) -> None:
    await scene.deliver("e1", "e2")
    await scene.work()
    scene.stream().lose(2)
    await scene.queue.append([accepted("new")])
    scene.queue.held["local"] = "no PubAck"
    await scene.again()
    assert scene.stored() == ["e1", "+e2", "new"]
    assert scene.state == "open"


async def test_nothing_is_published_while_the_store_lacks_what_was_logged(scene: Scene) -> None:
    await scene.deliver("e1", "e2")
    await scene.work()
    scene.stream().lose(2)
    await scene.queue.append([accepted("new")])
    scene.relays.written = 1
    scene.backbones.connections += 1
    await scene.watched()
    assert await scene.relay.step() == 0.0  # held
    with pytest.raises(Exception, match="the store hasn't yet"):
        await scene.relay.step()
    assert (scene.stored(), scene.state) == (["e1"], "held")
    scene.relays.written = None
    await scene.write()
    await scene.work()
    assert scene.stored() == ["e1", "+e2", "new"]


async def test_repair_begins_when_the_store_has_what_was_logged_before_the_loss_was_noticed(scene: Scene) -> None:
    """What is logged since is no reason to wait: doors never stop logging."""
    await scene.deliver("e1", "e2")
    await scene.work()
    scene.stream().lose(2)
    await scene.queue.append([accepted("new")])
    noticed, scene.relays.written = len(scene.queue.flushes), 1
    scene.backbones.connections += 1
    await scene.watched()
    assert await scene.relay.step() == 0.0  # held
    with pytest.raises(Unavailable):
        await scene.relay.step()
    await scene.queue.append([accepted("since")])
    scene.relays.written = noticed
    await scene.relay.step()
    assert scene.stored() == ["e1", "+e2"]


async def test_a_loss_is_noticed_on_the_same_connection_when_the_backbone_is_held(scene: Scene) -> None:
    """A server may lose something behind a connection that stays, as behind a proxy; then PubAcks were missing."""
    await scene.deliver("e1", "e2")
    await scene.work()
    scene.stream().lose(2)
    await scene.queue.append([accepted("new")])
    scene.queue.held["local"] = "no PubAck"
    await scene.work()
    assert scene.stored() == ["e1", "+e2", "new"]


async def test_a_relay_that_is_new_notices_too(scene: Scene) -> None:
    await scene.deliver("e1", "e2")
    await scene.work()
    scene.stream().lose(1)
    scene.relay = scene.new_relay()
    await scene.work()
    assert scene.stored() == ["+e1", "+e2"]


async def test_a_doubt_is_gone_when_doors_overtook_each_other(scene: Scene) -> None:
    """Two doors' groups, the later one noted first: that looks like a loss, until the stream is looked at."""
    await scene.deliver("e1", "e2", "e3")
    record = scene.queue.flushes[-1].records[-1]
    assert isinstance(record, Deliveries)
    scene.queue.delivered(
        [],
        Deliveries(
            **{
                **{name: getattr(record, name) for name in record.__struct_fields__},
                "ids": record.ids[:16],
                "sequences": record.sequences[:1],
                "subjects": record.subjects[:1],
            }
        ),
    )
    await scene.write()
    assert [marked.doubt is not None for marked in await scene.log.marks()] == [True]
    await scene.again()
    assert [marked.doubt is not None for marked in await scene.log.marks()] == [False]
    assert (scene.stored(), scene.state) == (["e1", "e2", "e3"], "open")


async def test_messages_of_other_shards_are_left_to_their_relays() -> None:
    scene = Scene(ours=["e2"])
    await scene.deliver("e1", "e2", "e3")
    await scene.work()
    scene.stream().lose(1)
    await scene.again()
    assert scene.stored() == ["+e2"]


async def test_the_backbone_stays_held_when_it_goes_away_during_repair(scene: Scene) -> None:
    await scene.deliver("e1", "e2")
    await scene.work()
    scene.stream().lose(1)
    scene.backbones.connections += 1
    await scene.watched()
    assert await scene.relay.step() == 0.0
    scene.backbones.down.add("local")
    assert await scene.relay.step() > 0
    assert scene.state == "held"
    scene.backbones.down.clear()
    await scene.again()
    assert (scene.stored(), scene.state) == (["+e1", "+e2"], "open")


async def test_it_is_not_given_everything_without_end_when_a_backbone_lies(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.deliver("e1")
    await scene.work()
    honest, told = scene.backbones.look, iter(range(1_000_000))

    async def lie(backbone: str, org: str, sequences: Sequence[int]) -> InStream:
        return msgspec.structs.replace(await honest(backbone, org, sequences), created=f"2026-01-01T00:00:00.{next(told)}Z")

    monkeypatch.setattr(scene.backbones, "look", lie)
    await scene.again()
    held_after = next(told)
    for _ in range(20):
        await scene.work()
    assert scene.state == "held"
    assert scene.relay.repaired <= 2
    assert next(told) - held_after < 20 * 5  # each time it looks, and no more
    monkeypatch.undo()
    monkeypatch.setattr("functions.logger.repair.FIRST_PAUSE_S", 0.0)
    await scene.work()
    assert scene.state == "open"
