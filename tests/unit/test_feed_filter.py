"""The feed's filter: what is shown, what it may cost, and that nobody else pays for it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.websocket.budget import ALL, CLIENTS, ONE, Budget, Spending
from functions.websocket.cursor import unseal
from functions.websocket.handler import Watch
from functions.websocket.items import items_of
from functions.websocket.live import Feed
from functions.websocket.shown import read_back
from functions.websocket.subscription import from_frame
from shared.adapters.memory.feed import MemoryFeedReader
from shared.domain.errors import Malformed, Overloaded
from shared.domain.message import Message
from shared.domain.record import Accepted, unpack_flush
from shared.domain.rules.filter import Filter
from shared.view import encode
from tests.feed import accepted, blocked, delivered, message, names, packed
from tests.unit.test_feed_watch import KEYS, caught_up, events, view, watching
from tests.waiting import eventually


def numbered(number: int, **changes: Any) -> Message:
    return msgspec.structs.replace(message("acme", f"e-{number}", body=b'{"n":%d}' % number), **changes)


def ids(frames: list[dict[str, Any]], kind: str) -> list[str]:
    return [one["id"] for frame in frames for one in frame.get(kind, ())]


async def everything(watch: Watch, feed: Feed) -> list[dict[str, Any]]:
    """Every frame there is now, however long the filter has to wait for its turns."""
    frames: list[dict[str, Any]] = []
    while True:
        text = await watch.next()
        if text:
            frames.append(json.loads(text))
        elif watch.owed():
            await eventually(lambda: not watch.owed())
        else:
            return frames


async def test_a_client_sees_what_its_filter_is_true_of_when_others_see_all() -> None:
    memory = MemoryFeedReader()
    memory.append(packed([]))
    async with watching(memory) as feed:
        every, some = Watch(feed, KEYS, view()), Watch(feed, KEYS, view(filter="data.n >= 3"))
        memory.append(packed(accepted(*map(numbered, range(5)))))
        await caught_up(feed, memory)
        assert events(await everything(every, feed)) == names(5)  # its frames come first: what they were made of is gone then
        assert events(await everything(some, feed)) == ["e-3", "e-4"]


async def test_deliveries_are_left_out_when_their_message_was() -> None:
    memory = MemoryFeedReader()
    memory.append(packed([]))
    before, out, shown = numbered(9), numbered(1), numbered(2)
    async with watching(memory) as feed:
        watch = Watch(feed, KEYS, view(filter="data.n == 2"))
        memory.append(packed(accepted(out, shown)))
        memory.append(packed([delivered(out, shown), delivered(before)]))
        await caught_up(feed, memory)
        frames = await everything(watch, feed)
        expected = [str(read.id) for read in map(_uuid, (shown, before))]
        assert ids(frames, "messages") == expected[:1]
        assert ids(frames, "deliveries") == expected  # of the one before nobody knows


async def test_deliveries_are_shown_when_an_attempt_of_the_same_id_was_left_out_before() -> None:
    memory = MemoryFeedReader()
    memory.append(packed([]))
    sent = numbered(2)
    async with watching(memory) as feed:
        watch = Watch(feed, KEYS, view(filter="data.n == 2"))
        memory.append(packed([blocked(msgspec.structs.replace(sent, body=b"{}")), *accepted(sent)]))
        memory.append(packed([delivered(sent)]))
        await caught_up(feed, memory)
        frames = await everything(watch, feed)
        assert ids(frames, "messages") == ids(frames, "deliveries") == [str(_uuid(sent).id)]


async def test_every_cursor_goes_on_behind_its_frame_when_a_filter_must_wait_for_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemoryFeedReader()
    memory.append(packed([]))
    async with watching(memory) as feed:
        ticks = iter(range(10_000_000))
        monkeypatch.setattr(feed.budget, "clock", lambda: next(ticks) * 0.05)  # each look at the clock is two slices and more
        watch = Watch(feed, KEYS, view(filter="data.n % 2 == 0"))
        memory.append(packed(accepted(*map(numbered, range(30)))))
        await caught_up(feed, memory)
        found: list[str] = []
        for _ in range(3_000):
            if text := await watch.next():
                frame = json.loads(text)
                found += events([frame])
                watch.close()
                watch = Watch(feed, KEYS, view(filter="data.n % 2 == 0"), unseal(frame["cursor"], KEYS))
        assert found == [f"e-{number}" for number in range(0, 30, 2)]


async def test_a_client_without_a_filter_waits_for_nobody_when_filters_owe() -> None:
    memory = MemoryFeedReader()
    memory.append(packed([]))
    async with watching(memory) as feed:
        greedy, plain = Watch(feed, KEYS, view(filter="data.n == 1")), Watch(feed, KEYS, view())
        memory.append(packed(accepted(numbered(1))))
        await caught_up(feed, memory)
        greedy._spending.took(100)
        assert await greedy.next() is None
        assert greedy.owed() > 100
        assert events([json.loads(await plain.next() or "{}")]) == ["e-1"]
        assert not plain.owed()


def test_filters_share_what_there_is_when_there_are_many() -> None:
    now = [0.0]
    budget = Budget(lambda: now[0])
    clients = [Spending(budget, f"org-{number}") for number in range(CLIENTS + 1)]
    budget.open(clients[0])
    clients[0].took(ONE + budget.slice)
    assert clients[0].owed() == pytest.approx(1)
    now[0] = 1.0
    assert clients[0].owed() == pytest.approx(0)
    for one in clients[:-1]:
        budget.open(one)
    assert budget.rate * CLIENTS == pytest.approx(ALL)
    with pytest.raises(Overloaded):
        budget.open(clients[-1])
    budget.open(clients[0])  # it is in already
    budget.close(clients[0])
    budget.open(clients[-1])


async def test_a_client_is_counted_while_it_has_a_filter_and_no_longer() -> None:
    feed = Feed(MemoryFeedReader(), 1)
    first = [Watch(feed, KEYS, view(filter="true"), org="acme") for _ in range(CLIENTS // 2)]  # as many as the org leaves free
    with pytest.raises(Overloaded):
        Watch(feed, KEYS, view(filter="true"), org="acme")
    Watch(feed, KEYS, view(filter="true"), org="globex").close()
    first[0].look(view())
    first[1].close()
    Watch(feed, KEYS, view(filter="true"), org="acme")
    first[0].look(view(filter="true"))


@pytest.mark.parametrize("filter", ["1", "data.n >", "data.map(x, x)", "nobody.knows", 'message.topic.matches("\\\\pL{1000}")'])
def test_a_filter_is_refused_by_its_field_when_it_is_none(filter: str) -> None:
    with pytest.raises(Malformed) as refused:
        from_frame(json.dumps({"subscribe": {"filter": filter}}))
    assert refused.value.faults[0].pointer == "/filter"
    assert refused.value.faults[0].detail


texts = st.text(max_size=8)
bodies = st.none() | st.binary(max_size=20) | st.sampled_from([b'{"a":[1,2.5,null]}', b"12", b'"\\u0000"', b"\xff"])
rows = st.builds(
    message, st.just("acme"), texts, st.just("orders.created"), st.none() | st.just("agent-7"), st.just(b"")
).flatmap(
    lambda one: st.builds(
        msgspec.structs.replace,
        st.just(one),
        body=bodies,
        time=st.none() | texts,
        dataschema=st.none() | texts,
        datacontenttype=st.sampled_from([None, "application/json", "text/plain"]),
        extensions=st.none() | st.dictionaries(st.sampled_from("abc"), texts | st.booleans() | st.integers(0, 9), min_size=1),
        received_at=st.integers(0, 4 * 10**15),
    )
)  # fmt: skip


@given(rows, st.booleans())
def test_a_message_read_back_says_the_same_as_the_message(one: Message, cut: bool) -> None:
    (item,) = items_of(unpack_flush(1, packed([Accepted(one, ("local",), cut=cut)])))
    row = item.row
    assert row is not None
    assert item.json
    back = item.row
    assert back is not None
    assert back.cut == cut
    assert msgspec.structs.replace(back.message, digest=one.digest, revision=one.revision) == one
    filter = Filter('message.size > 2 && (data == null || data == data) && now >= timestamp("1970-01-01T00:00:00Z")')
    assert filter.matches(row) is filter.matches(back)


def test_nothing_is_read_back_when_the_feed_could_not_show_it() -> None:
    assert read_back(encode({"id": "x", "unreadable": True})) is None


def _uuid(one: Message) -> Any:
    """The message as the feed names it."""
    (item,) = items_of(unpack_flush(1, packed(accepted(one))))
    return msgspec.json.decode(item.json, type=_Named)


class _Named(msgspec.Struct):
    id: str
