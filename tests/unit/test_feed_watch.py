"""How a client of the feed goes through it: positions, ring, pages and gaps, on a feed in memory."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.websocket import handler
from functions.websocket.cursor import unseal
from functions.websocket.handler import Watch
from functions.websocket.live import Feed
from functions.websocket.ring import RING_BYTES, Ring
from functions.websocket.subscription import Subscription, from_frame, view_of
from shared.adapters.memory.feed import MemoryFeedReader
from shared.domain.errors import Malformed
from shared.domain.feed import FeedEntry
from shared.domain.principal import Grant, Principal
from tests.feed import accepted, delivered, message, names, packed
from tests.waiting import eventually

KEYS = (b"k" * 32,)
READER = Principal("reader", "acme", (Grant("read"),))


def view(**wanted: str) -> Any:
    return view_of(READER, Subscription(**wanted))


@asynccontextmanager
async def watching(memory: MemoryFeedReader, limit: int = RING_BYTES) -> AsyncIterator[Feed]:
    feed = Feed(memory, memory.shards, limit)
    async with feed.watched(asyncio.Event()):
        yield feed


async def caught_up(feed: Feed, memory: MemoryFeedReader) -> None:
    spans = await memory.spans()
    await eventually(lambda: feed.ring.next == [span.next for span in spans])


async def seen(watch: Watch) -> list[dict[str, Any]]:
    """Every frame there is now."""
    frames = []
    while text := await watch.next():
        frames.append(json.loads(text))
    return frames


def events(frames: list[dict[str, Any]]) -> list[str]:
    return [one["event_id"] for frame in frames for one in frame.get("messages", ())]


async def test_client_starts_at_now_when_it_has_no_cursor() -> None:
    memory = MemoryFeedReader()
    memory.append(packed(accepted(message("acme", "before"))))
    async with watching(memory) as feed:
        watch = Watch(feed, KEYS, view())
        memory.append(packed(accepted(message("acme", "after"))))
        await caught_up(feed, memory)
        assert events(await seen(watch)) == ["after"]


async def test_client_starts_at_what_no_store_has_when_it_asks_for_that() -> None:
    memory = MemoryFeedReader(shards=2)
    number = 0
    for event in names(3):
        number = memory.append(packed(accepted(message("acme", event))))
    memory.append(packed(accepted(message("acme", "stored"))), shard=1)
    memory.waiting[0] = {number - 1: 1_700_000_000_000_000, number: 1_700_000_000_000_001}
    async with watching(memory) as feed:
        watch = Watch(feed, KEYS, view())
        await watch.go_to_unstored()
        assert watch.time == 1_700_000_000_000_000
        memory.append(packed(accepted(message("acme", "after"))), shard=1)
        await caught_up(feed, memory)
        assert sorted(events(await seen(watch))) == ["after", *names(3)[1:]]


async def test_gap_is_told_when_what_no_store_has_fell_out_of_the_window() -> None:
    memory = MemoryFeedReader()
    numbers = [memory.append(packed(accepted(message("acme", event)))) for event in names(3)]
    memory.waiting[0] = dict.fromkeys(numbers, 1_700_000_000_000_000)
    memory.trim(numbers[0])
    async with watching(memory) as feed:
        watch = Watch(feed, KEYS, view())
        await watch.go_to_unstored()
        frames = await seen(watch)
        assert frames[0]["gap"]["from"] == "2023-11-14T22:13:20.000000Z"
        assert events(frames) == names(3)[1:]


async def test_client_behind_the_ring_is_served_from_the_log_in_order() -> None:
    memory = MemoryFeedReader()
    async with watching(memory, limit=20_000) as feed:
        watch = Watch(feed, KEYS, view())
        for event in names(200):
            memory.append(packed(accepted(message("acme", event))))
        await caught_up(feed, memory)
        assert feed.ring.start[0] > 100
        assert events(await seen(watch)) == names(200)


@given(st.data())
async def test_every_cursor_resumes_exactly_behind_its_frame(data: st.DataObject) -> None:
    memory = MemoryFeedReader(shards=2)
    sizes = data.draw(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 6)), min_size=1, max_size=8))
    async with watching(memory, limit=data.draw(st.sampled_from([5_000, RING_BYTES]))) as feed:
        watch = Watch(feed, KEYS, view())
        count = 0
        for shard, size in sizes:
            memory.append(packed(accepted(*(message("acme", event) for event in names(size, count)))), shard)
            count += size
        await caught_up(feed, memory)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(handler, "FRAME_BYTES", data.draw(st.sampled_from([1, 900, 10**6])))
            found: list[str] = []
            while text := await watch.next():
                frame = json.loads(text)
                found += events([frame])
                watch = Watch(feed, KEYS, view(), unseal(frame["cursor"], KEYS))
    assert sorted(found) == sorted(names(count))


async def test_gap_is_told_once_when_the_cursor_fell_out() -> None:
    memory = MemoryFeedReader()
    async with watching(memory, limit=1) as feed:
        watch = Watch(feed, KEYS, view())
        for event in names(10):
            memory.append(packed(accepted(message("acme", event))))
        await caught_up(feed, memory)
        memory.trim(4)
        frames = await seen(watch)
        assert sum("gap" in frame for frame in frames) == 1
        assert events(frames) == names(10)[4:]


async def test_shared_frames_are_the_same_object_when_clients_are_in_step() -> None:
    memory = MemoryFeedReader()
    memory.append(packed([]))
    async with watching(memory) as feed:
        one, two = Watch(feed, KEYS, view()), Watch(feed, KEYS, view())
        memory.append(packed(accepted(message("acme", "a"))))
        await caught_up(feed, memory)
        first, second = await one.next(), await two.next()
        assert first is second
        assert first


async def test_delivery_never_comes_before_its_message() -> None:
    memory = MemoryFeedReader()
    memory.append(packed([]))
    sent = message("acme", "a")
    async with watching(memory) as feed:
        watch = Watch(feed, KEYS, view())
        memory.append(packed(accepted(sent)))
        memory.append(packed([delivered(sent)]))
        await caught_up(feed, memory)
        (frame,) = await seen(watch)
        assert [one["id"] for one in frame["messages"]] == [one["id"] for one in frame["deliveries"]]


async def test_nobody_reads_the_log_when_nobody_watches() -> None:
    memory = MemoryFeedReader()
    feed = Feed(memory, 1)
    async with feed.watched(asyncio.Event()):
        memory.append(packed(accepted(message("acme", "a"))))
        await caught_up(feed, memory)
    assert (feed.ring.first, feed.ring.next) == (feed.ring.end, [0])
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "feed"]


def test_ring_keeps_its_bound_and_says_where_it_starts() -> None:
    ring = Ring(1, limit=50_000)
    ring.begin(["e"], [1])
    for number in range(1, 101):
        ring.append(FeedEntry(0, number, bytes(1_000)))
    kept = [slot.number for slot in ring.since(ring.first)]
    assert kept == list(range(ring.start[0], 101))
    assert len(kept) < 11
    assert ring.end == ring.first + len(kept)


@pytest.mark.parametrize(
    ("frame", "pointer"),
    [
        ('{"subscribe":{"topic":"a..b"}}', "/topic"),
        ('{"subscribe":{"bogus":1}}', "/subscribe/bogus"),
        ('{"subscribe":{"topic":1}}', "/subscribe/topic"),
        ('{"bogus":{}}', "/bogus"),
        ("{}", "/subscribe"),
    ],
)
def test_frame_is_refused_by_its_field_when_one_is_wrong(frame: str, pointer: str) -> None:
    with pytest.raises(Malformed) as refused:
        from_frame(frame)
    assert refused.value.faults[0].pointer == pointer
