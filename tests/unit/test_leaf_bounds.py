"""What a hub that gives too much, or answers nothing, may cost who looks after its leaf, and when it is asked again."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import cast

import pytest
from msgspec.structs import replace

from shared.adapters.nats import backbone_streams, reading, sourcing, unasked
from shared.adapters.nats.asking import LARGEST
from shared.adapters.nats.backbone_streams import NatsBackboneStreams, config_of
from shared.adapters.nats.connection import Connection
from shared.adapters.nats.leaves import life_key, number_of
from shared.adapters.nats.reading import Endless, Unreadable, ids_from
from shared.adapters.nats.replies import Lost
from shared.adapters.nats.unasked import AWAY_S, LONGEST_AWAY_S
from shared.domain.registry.reach import Reach
from shared.domain.registry.streams import WantedStream
from tests.unit.jetstream import JetStream, Stream, moment
from tests.unit.leaf_looks import HUB, LOST, NEW, OLD, OTHER, WITHIN, Scene, beside, has_begun
from tests.waiting import eventually

COPY = WantedStream("sbg-acme", (), "file", 1, 86_400, 64 * 1024**2, (HUB,))


def hub_with(*ids: str) -> JetStream:
    stream = Stream()
    stream.add(*ids)
    return JetStream({("hub", "sb-acme"): stream})


async def ids_of(servers: JetStream) -> list[str]:
    found = ids_from(cast(Connection, servers), "$JS.hub.API", "sb-acme", 1, servers.streams["hub", "sb-acme"].last)
    return [id.decode() async for _, id in found]


async def test_reading_ends_when_a_stream_has_more_than_one_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST", len(OLD))
    assert await ids_of(hub_with(*OLD)) == OLD
    servers = hub_with(*OLD, "one-more")
    with pytest.raises(Endless, match="more than 10 messages"):
        await ids_of(servers)
    assert servers.asked[-1].startswith("CONSUMER.DELETE")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda reply: b"$JS.ACK.s.c.1.7.1.0.999999",  # the same one for ever
        lambda reply: b"$JS.ACK.s.c.1.-7.1.0.3",
        lambda reply: b"$JS.ACK.s.c.1.seven.1.0.3",
        lambda reply: b"$JS.ACK",
        lambda reply: b"\xff",
    ],
)
async def test_reading_ends_when_a_hub_s_messages_have_no_order_or_no_place(spoil: Callable[[bytes], bytes]) -> None:
    servers = hub_with(*OLD)
    servers.spoils["hub"] = spoil
    with pytest.raises(Unreadable):
        await ids_of(servers)


async def test_no_more_is_kept_than_was_asked_for_when_a_hub_gives_more() -> None:
    servers = hub_with(*OLD)
    servers.more = 1_000
    assert await ids_of(servers) == OLD


async def test_id_is_nobody_s_when_it_is_longer_than_one_of_ours_can_be() -> None:
    assert await ids_of(hub_with("a" * 255, "b" * 256)) == ["a" * 255, ""]


async def test_it_is_given_up_for_a_life_and_said_once_when_a_hub_gives_too_much(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene()
    await scene.begin_with_a_loss()
    monkeypatch.setattr(reading, "MOST", 5)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            [source] = await scene.look()
            assert number_of(source) == 0
    assert (scene.reads(), scene.sourcing.given_up, scene.sourcing.is_behind("leaf")) == (1, 1, False)
    [said] = caplog.messages
    assert said.startswith("sbg-acme of leaf isn't compared with what hub has: sb-acme has more than 5 messages.")
    assert "remove the leaf's stream" in said

    monkeypatch.undo()
    scene.hub.starts += 1
    [source] = await scene.look()
    assert (source["opt_start_seq"], scene.sourcing.given_up) == (len(OLD) + 1, 0)


async def test_what_is_new_is_taken_when_the_hub_fell_back_behind_what_the_leaf_has_and_it_was_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its server asked for what is behind a sequence that the hub hadn't reached again, and the leaf got nothing until it had."""
    scene = Scene()
    await scene.seen_with(*OLD, *LOST)
    scene.lost()
    monkeypatch.setattr(reading, "MOST", 5)
    scene.sourcing = sourcing.Sourcing()  # a reconciler that has just started: it would have to read all of it
    with caplog.at_level(logging.WARNING):
        [source] = await scene.look()
        scene.copy.filled = []  # it is another source to its server
        scene.hub.add(*NEW)
        for _ in range(3):
            assert await scene.look() == [source]
    assert (source["opt_start_seq"], number_of(source) > 0, scene.sourcing.given_up) == (len(OLD) + 1, True, 1)
    assert scene.reads() == 1
    assert sum("takes what hub has from 11 on again" in said for said in caplog.messages) == 1
    assert scene.copy.config["metadata"]["switchboard.source.hub"].split()[1] == str(len(OLD) + 1)


async def test_all_is_taken_when_the_hub_s_stream_is_another_one_and_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    await scene.seen_with(*OLD, *LOST)
    scene.hub.messages.clear()
    scene.hub.created = moment(77)
    scene.hub.add(*NEW)
    monkeypatch.setattr(reading, "MOST", 5)
    for _ in range(2):
        [source] = await scene.look()
        assert (source["opt_start_seq"], scene.sourcing.given_up) == (1, 1)


async def test_it_is_compared_again_in_an_hour_when_it_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    await scene.begin_with_a_loss()
    monkeypatch.setattr(reading, "MOST", 5)
    monkeypatch.setattr(unasked, "GIVEN_UP_S", 0.0)
    await scene.look()
    monkeypatch.undo()
    [source] = await scene.look()
    assert (source["opt_start_seq"], scene.sourcing.given_up) == (len(OLD) + 1, 0)


@pytest.mark.parametrize("how", ["its stream is removed", "it is looked after no more"])
async def test_nothing_is_given_up_any_more_when(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    await scene.begin_with_a_loss()
    monkeypatch.setattr(reading, "MOST", 5)
    await scene.look()
    assert scene.sourcing.given_up == 1
    if how == "its stream is removed":
        del scene.servers.streams["", "sbg-acme"]
        await scene.look()
    else:
        await scene.sourcing.forget("leaf")
    assert scene.sourcing.given_up == 0


async def test_nothing_is_given_up_any_more_when_its_hub_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gauge stayed above 0, and nothing could be done about it."""
    scene, streams = Scene(), NatsBackboneStreams(None)
    monkeypatch.setattr(streams, "_sourcing", scene.sourcing)

    async def linked(reach: Reach, login: object) -> Linked:
        return Linked(scene.servers)

    monkeypatch.setattr(streams, "_link", linked)
    await scene.begin_with_a_loss()
    monkeypatch.setattr(reading, "MOST", 5)
    await streams.ensure(scene.reach, [COPY])
    assert streams.uncompared == 1
    await streams.ensure(scene.reach, [COPY])
    await streams.ensure(replace(scene.reach, id="another"), [])
    assert streams.uncompared == 1
    await streams.ensure(scene.reach, [COPY._replace(sources=(OTHER,))])
    assert streams.uncompared == 0


async def test_it_is_given_up_when_a_comparison_beside_the_looks_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sourcing, "WAITS_S", 0.0)
    monkeypatch.setattr(sourcing, "LONGEST_S", 0.1)
    scene = Scene()
    await scene.begin_with_a_loss(answers=False)
    await eventually(partial(has_begun, scene), within=WITHIN)
    await eventually(lambda: not beside(), within=WITHIN)
    await scene.look()
    assert (scene.sourcing.given_up, scene.reads(), scene.sourcing.is_behind("leaf")) == (1, 1, False)


@pytest.mark.parametrize(
    "said",
    [
        {"ts": "x" * 41},
        {"created": "a b"},
        {"created": "a\0b"},
        {"created": "x" * 5_000},
        {"state": {"last_seq": 2**64}},
        {"state": {"last_seq": -1}},
    ],
)
async def test_source_stays_when_a_hub_says_of_itself_what_no_server_says(said: dict[str, object]) -> None:
    scene = Scene()
    await scene.seen_with(*OLD)
    scene.hub.says = said
    assert [number_of(one) for one in await scene.look()] == [0]
    assert scene.sourcing.asks_again_at("leaf") < asyncio.get_running_loop().time() + WITHIN


async def test_nothing_is_read_of_an_answer_that_is_too_large() -> None:
    """A leaf may be anybody's server as well: of 64 MiB of empty lists 1.6 GB were made, in 6 s."""
    scene = Scene()
    await scene.seen_with(*OLD)
    scene.hub.says = {"description": "x" * LARGEST}
    assert [number_of(one) for one in await scene.look()] == [0]
    assert scene.sourcing.asks_again_at("leaf") < asyncio.get_running_loop().time() + WITHIN
    scene.copy.says = {"config": {"description": "x" * LARGEST}}
    with pytest.raises(Lost, match="answer has 10"):
        await scene.look()


async def test_source_stays_when_the_time_that_a_hub_told_is_none() -> None:
    scene = Scene()
    scene.hub.says = {"ts": "teatime"}
    await scene.seen_with(*OLD, *LOST)
    scene.lost(*NEW)
    assert [number_of(one) for one in await scene.look()] == [0]
    assert scene.sourcing.given_up == 0


async def test_a_hub_that_is_away_is_asked_later_and_later_and_no_look_is_put_off_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    await scene.seen_with(*OLD)
    loop = asyncio.get_running_loop()
    assert scene.sourcing.asks_again_at("leaf") == float("inf")
    scene.servers.silent.add("hub")
    began, passed = loop.time(), 0.0
    monkeypatch.setattr(unasked, "_now", lambda: began + passed)
    for pause in (AWAY_S, 2 * AWAY_S, 4 * AWAY_S, LONGEST_AWAY_S, LONGEST_AWAY_S):
        for _ in range(2):  # the second isn't heard of by the hub
            await scene.look()
            assert scene.sourcing.asks_again_at("leaf") == pytest.approx(began + passed + pause)
        passed += pause
    scene.servers.silent.clear()
    await scene.look()
    assert scene.sourcing.asks_again_at("leaf") == float("inf")
    scene.servers.silent.add("hub")
    await scene.look()
    assert scene.sourcing.asks_again_at("leaf") == pytest.approx(began + passed + AWAY_S)


async def test_streams_of_a_leaf_are_looked_at_again_when_its_hub_may_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were, half a minute later: who waits for what the hub had lost waited as long."""
    scene, streams = Scene(), NatsBackboneStreams(None)
    link = Linked(scene.servers)

    async def linked(reach: Reach, login: object) -> Linked:
        return link

    monkeypatch.setattr(streams, "_link", linked)
    scene.copy.config = config_of(COPY)
    scene.hub.add(*OLD)
    scene.took(*OLD)
    assert await streams.ensure(scene.reach, [COPY]) == ("", "")

    async def looks() -> bool:
        scene.servers.asked.clear()
        await streams.ensure(scene.reach, [COPY])
        return bool(scene.servers.asked)

    monkeypatch.setattr(backbone_streams, "AGAIN_S", 3_600.0)
    assert [await looks(), await looks()] == [False, False]
    monkeypatch.setattr(streams, "_settled", {})
    monkeypatch.setattr(unasked, "AWAY_S", 0.05)
    scene.servers.silent.add("hub")
    assert await looks()
    scene.servers.silent.clear()
    await eventually(looks, within=WITHIN)
    assert not await looks()
    assert life_key("hub") in scene.copy.config["metadata"]


class Linked:
    """A link that is connected."""

    live = True
    refused = ""

    def __init__(self, servers: JetStream) -> None:
        self.connection = servers
