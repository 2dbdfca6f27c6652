"""How many clients may read at once what no store has yet, and who counts."""

import json
import time

import pytest

from functions.websocket import catching_up
from functions.websocket.catching_up import FAR_S, CatchingUp
from functions.websocket.cursor import unseal
from functions.websocket.handler import Watch
from functions.websocket.live import Feed
from shared.adapters.memory.feed import MemoryFeedReader
from shared.domain.errors import Overloaded
from tests.feed import accepted, message, names, packed
from tests.unit.test_feed_watch import KEYS, events, seen, view, watching

LONG = FAR_S + 60


def test_an_org_may_have_as_many_as_it_leaves_free_when_another_wants_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "CLIENTS", 4)
    many = CatchingUp()
    many.begin("a", "acme", LONG)
    many.begin("b", "acme", LONG)
    many.begin("b", "acme", LONG)  # it is at it
    with pytest.raises(Overloaded) as refused:
        many.begin("c", "acme", LONG)
    assert (refused.value.status, refused.value.retry_after_ms) == (503, 5_000)
    assert "the last 70 s" in refused.value.detail
    many.begin("d", "globex", LONG)
    many.end("a")
    many.begin("c", "acme", LONG)
    assert len(many) == 3


def test_nobody_counts_when_loggers_are_hardly_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "CLIENTS", 0)
    many = CatchingUp()
    many.begin("a", "acme", FAR_S - 1)
    assert len(many) == 0


def outage(count: int = 3) -> MemoryFeedReader:
    """A feed of which no store has anything, for a while now."""
    memory = MemoryFeedReader()
    since = time.time_ns() // 1000 - int(LONG * 1e6)
    memory.waiting[0] = {memory.append(packed(accepted(message("acme", event)))): since for event in names(count)}
    return memory


def client(feed: Feed) -> Watch:
    return Watch(feed, KEYS, view(), org="acme")


async def test_client_counts_until_it_has_caught_up() -> None:
    memory = outage()
    async with watching(memory) as feed:
        watch = client(feed)
        await watch.go_to_unstored()
        assert len(feed.catching_up) == 1
        assert events(await seen(watch)) == names(3)
        assert len(feed.catching_up) == 0


@pytest.mark.parametrize("how", ["it is gone", "it goes on from now", "it goes on with what no store has by now"])
async def test_client_counts_no_more_when(how: str) -> None:
    memory = outage()
    async with watching(memory) as feed:
        watch = client(feed)
        await watch.go_to_unstored()
        if how == "it is gone":
            watch.close()
        elif how == "it goes on from now":
            watch.go_to(None)
        else:
            memory.waiting[0].clear()
            await watch.go_to_unstored()
        assert len(feed.catching_up) == 0


async def test_one_more_is_refused_until_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "CLIENTS", 2)
    memory = outage(200)
    async with watching(memory) as feed:
        first, second = client(feed), client(feed)
        await first.go_to_unstored()
        with pytest.raises(Overloaded):
            await second.go_to_unstored()
        assert events(await seen(first)) == names(200)
        await second.go_to_unstored()
        assert events(await seen(second)) == names(200)


async def test_client_with_a_cursor_is_let_in_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is promised that nothing is missing behind it."""
    memory = outage()
    async with watching(memory) as feed:
        first = client(feed)
        await first.go_to_unstored()
        cursor = unseal(json.loads(first.cursor_frame())["cursor"], KEYS)
        monkeypatch.setattr(catching_up, "CLIENTS", 0)
        assert events(await seen(Watch(feed, KEYS, view(), cursor, "acme"))) == names(3)
