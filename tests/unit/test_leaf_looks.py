"""A look at a leaf's stream: what it asks of leaf and hub, what it makes of their answers, and for what it doesn't wait."""

import asyncio
from functools import partial

import pytest

from shared.adapters.nats import sourcing, unasked
from shared.adapters.nats.leaves import life_key, number_of, source_of
from shared.adapters.nats.replies import Lost
from shared.domain.registry.streams import Source
from tests.unit.jetstream import moment
from tests.unit.leaf_looks import HUB, LOST, NEW, OLD, OTHER, WITHIN, Scene, beside, has_begun
from tests.waiting import eventually


async def test_it_ends_without_a_word_on_sources_when_the_leaf_elects_a_leader() -> None:
    scene = Scene()
    await scene.seen_with(*OLD)
    scene.copy.error = {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}
    scene.servers.asked.clear()
    with pytest.raises(Lost, match="temporarily unavailable"):
        await scene.look()
    assert scene.servers.asked == ["STREAM.INFO.sbg-acme"]


async def test_nothing_is_read_again_when_the_leaf_refuses_its_new_source() -> None:
    scene = Scene()
    await scene.begin_with_a_loss()
    [first] = await scene.look(refused=True)
    assert (first["opt_start_seq"], scene.reads()) == (len(OLD) + 1, 2)
    for _ in range(3):
        assert await scene.look(refused=True) == [first]
    assert (await scene.look(), scene.reads()) == ([first], 2)


@pytest.mark.parametrize("ahead", [-60.0, 0.0, 60.0], ids=["a minute behind", "right", "a minute ahead"])
async def test_what_a_hub_lost_is_found_when_the_clock_of_the_server_that_was_asked_before_is(ahead: float) -> None:
    """Of a hub of several, say, whose leader is another one by now."""
    scene = Scene()
    scene.hub.add(*OLD, *LOST)
    scene.took(*OLD, *LOST)
    scene.hub.now += ahead
    for _ in range(2):
        await scene.look()
    scene.hub.now -= ahead
    scene.lost(*NEW, "one-more")
    [source] = await scene.look()
    assert source["opt_start_seq"] == len(OLD) + 1


async def test_nothing_is_read_when_the_hub_has_all_it_had_whatever_its_clock_says() -> None:
    scene = Scene()
    await scene.seen_with(*OLD)
    scene.hub.starts += 1
    scene.hub.now -= 3_600
    [source] = await scene.look()
    assert (number_of(source), scene.reads()) == (0, 0)


async def test_all_of_it_is_taken_when_the_hub_s_stream_was_made_anew_whatever_its_clock_says() -> None:
    scene = Scene()
    await scene.seen_with(*OLD)
    scene.hub.messages.clear()
    scene.hub.created, scene.hub.now = moment(77), -3_600
    scene.hub.add(*NEW, *OLD)
    [source] = await scene.look()
    assert source["opt_start_seq"] == 1


async def test_other_leaves_and_the_look_itself_go_on_when_a_hub_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sourcing, "WAITS_S", 0.05)
    slow = Scene()
    await slow.begin_with_a_loss(answers=False)

    async def begun() -> bool:
        [source] = await slow.look()
        assert (number_of(source), slow.sourcing.is_behind("leaf")) == (0, True)
        return slow.reads() == 1

    await eventually(begun, within=WITHIN)

    monkeypatch.setattr(sourcing, "WAITS_S", WITHIN)
    other = Scene("leaf-2", slow.sourcing)
    other.wanted = (Source("other", "acme"),)
    other.other.add(*OLD)
    other.copy.config["sources"] = await other.look()
    other.copy.filled = [{"external": {"api": "$JS.other.API"}, "seq": 10}]
    other.copy.add(*OLD)
    async with asyncio.timeout(WITHIN):
        await other.look()
    assert other.copy.config["metadata"].keys() == {"switchboard.life.other"}

    slow.servers.reads["hub"].set()
    [source] = await slow.look()
    assert source["opt_start_seq"] == len(OLD) + 1
    assert (slow.reads(), slow.sourcing.is_behind("leaf")) == (2, False)  # of the leaf's own: the hub's went on


async def test_source_stays_when_the_leaf_took_what_it_lacked_while_it_was_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub lost nothing, and the look that hears of it is a later one."""
    monkeypatch.setattr(sourcing, "WAITS_S", 0.05)
    scene = Scene()
    await scene.seen_with(*OLD)
    scene.hub.add("since")
    scene.took("since")
    scene.hub.starts += 1
    scene.servers.reads["hub"] = asyncio.Event()
    await eventually(partial(has_begun, scene), within=WITHIN)
    scene.hub.add(*NEW)
    scene.took(*NEW)
    scene.servers.reads["hub"].set()
    monkeypatch.setattr(sourcing, "WAITS_S", WITHIN)
    [source] = await scene.look()
    assert (number_of(source), scene.sourcing.is_behind("leaf")) == (0, False)


async def test_it_is_compared_again_at_once_when_a_comparison_failed_beside_the_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sourcing, "WAITS_S", 0.05)
    monkeypatch.setattr(unasked, "AWAY_S", 0.0)
    scene = Scene()
    await scene.begin_with_a_loss(answers=False)
    await eventually(partial(has_begun, scene), within=WITHIN)
    scene.copy.error = {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}
    scene.servers.reads["hub"].set()
    await eventually(lambda: not beside(), within=WITHIN)
    scene.copy.error = None
    monkeypatch.setattr(sourcing, "WAITS_S", WITHIN)
    [source] = await scene.look()
    assert source["opt_start_seq"] == len(OLD) + 1


async def test_nothing_is_read_when_the_leaf_has_taken_nothing_yet() -> None:
    """Its server asks for all that the hub has."""
    scene = Scene()
    scene.hub.add(*OLD)
    scene.copy.config["sources"] = [source_of(HUB)]
    [source] = await scene.look()
    assert (number_of(source), scene.reads(), life_key("hub") in scene.copy.config["metadata"]) == (0, 0, True)


async def test_it_is_compared_when_each_look_is_over_its_time_before_it_gets_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a leaf that answers slowly, or has many streams."""
    scene = Scene()
    await scene.begin_with_a_loss()
    monkeypatch.setattr(sourcing, "WAITS_S", 0.0)

    async def found() -> bool:
        [source] = await scene.look()
        return source.get("opt_start_seq") == len(OLD) + 1

    await eventually(found, within=WITHIN)
    assert (scene.reads(), scene.sourcing.is_behind("leaf")) == (2, False)


async def test_no_more_wait_for_their_turn_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sourcing, "MOST_WAIT", 0)
    scene = Scene()
    await scene.seen_with(*OLD)
    scene.hub.starts += 1
    await scene.look()
    assert (beside(), scene.sourcing.is_behind("leaf")) == ([], True)


async def test_what_is_under_way_ends_when_the_leaf_is_looked_after_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sourcing, "WAITS_S", 0.05)
    scene = Scene()
    await scene.begin_with_a_loss(answers=False)
    await scene.look()
    await scene.sourcing.forget("leaf")
    assert not beside()
    assert not scene.sourcing.is_behind("leaf")


async def test_it_is_the_source_that_it_was_when_a_hub_was_away_from_the_registry_for_a_moment() -> None:
    """A plain one would begin where the plain one before it ended, and give everything since then again."""
    scene = Scene()
    scene.wanted = (HUB, OTHER)
    await scene.begin_with_a_loss()
    begun, _ = await scene.look()
    assert number_of(begun) > 0
    scene.wanted = (OTHER,)
    assert [one["external"]["api"] for one in await scene.look()] == ["$JS.other.API"]
    scene.wanted = (HUB, OTHER)
    assert (await scene.look())[0] == begun
    scene.wanted = (OTHER,)
    await scene.look()
    scene.hub.created = moment(77)  # another hub of that domain
    scene.wanted = (HUB, OTHER)
    assert number_of((await scene.look())[0]) == 0


async def test_a_comparison_is_begun_anew_when_the_hub_starts_again_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sourcing, "WAITS_S", 0.05)
    scene = Scene()
    await scene.begin_with_a_loss(answers=False)
    await scene.look()
    scene.lost(*NEW[:2])
    await scene.look()
    scene.servers.reads["hub"].set()

    async def found() -> bool:
        [source] = await scene.look(refused=True)
        return bool(source.get("opt_start_seq") == len(OLD) + 1)

    await eventually(found, within=WITHIN)
    assert scene.sourcing.is_behind("leaf") is False
