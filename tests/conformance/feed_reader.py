"""What every reader of the feed must do: one behaviour, every adapter."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from shared.domain.feed import Unstored
from shared.domain.record import Accepted
from shared.ports import FeedReader
from tests.events import accepted

WAIT_MS = 5_000


class FeedLog(Protocol):
    """The reader under test, and what writes its feed."""

    reader: FeedReader

    async def append(self, packed: bytes, shard: int = 0) -> int:
        """Add an entry; its number."""

    async def logged(self, records: Sequence[Accepted]) -> int:
        """Append a flush of shard 0 as the log does, which no store has yet; its number."""

    async def stored(self, number: int) -> None:
        """A store has that flush."""

    async def trim(self, up_to: int) -> None:
        """Remove shard 0's entries up to that number."""

    async def renew(self) -> None:
        """Lose everything."""


class FeedReaderConformance:
    """Subclasses give `feed`, a fixture with an empty feed of two shards."""

    async def test_spans_are_empty_when_nothing_was_logged(self, feed: FeedLog) -> None:
        assert [(span.epoch, span.lost, span.next) for span in await feed.reader.spans()] == [("", 0, 0), ("", 0, 0)]

    async def test_span_names_the_place_behind_the_newest_entry(self, feed: FeedLog) -> None:
        numbers = [await feed.append(b"a"), await feed.append(b"b")]
        span, other = await feed.reader.spans()
        assert (span.lost, span.next) == (0, numbers[-1] + 1)
        assert span.epoch != ""
        assert other.next == 0

    async def test_follow_gives_entries_of_all_shards_from_the_places_on(self, feed: FeedLog) -> None:
        first, second = await feed.append(b"a"), await feed.append(b"b")
        other = await feed.append(b"c", shard=1)
        _, entries = await feed.reader.follow([second, 0], WAIT_MS)
        assert {(entry.shard, entry.number, entry.packed) for entry in entries} == {(0, second, b"b"), (1, other, b"c")}
        assert first == second - 1

    async def test_follow_wakes_when_an_entry_comes(self, feed: FeedLog) -> None:
        following = asyncio.create_task(feed.reader.follow([0, 0], WAIT_MS))
        number = await feed.append(b"a")
        spans, entries = await following
        assert [(entry.number, entry.packed) for entry in entries] == [(number, b"a")]
        assert spans[0].next == number + 1

    async def test_follow_gives_nothing_when_nothing_comes(self, feed: FeedLog) -> None:
        number = await feed.append(b"a")
        spans, entries = await feed.reader.follow([number + 1, 0], 10)
        assert entries == []
        assert spans[0].next == number + 1

    async def test_page_gives_at_most_the_limit_from_its_start_on(self, feed: FeedLog) -> None:
        numbers = [await feed.append(b"%d" % place) for place in range(5)]
        span, entries = await feed.reader.page(0, numbers[1], 2)
        assert [entry.number for entry in entries] == numbers[1:3]
        assert span.next == numbers[-1] + 1
        assert (await feed.reader.page(0, numbers[-1] + 1, 2))[1] == []

    async def test_span_tells_what_was_trimmed_away(self, feed: FeedLog) -> None:
        numbers = [await feed.append(b"%d" % place) for place in range(4)]
        await feed.trim(numbers[1])
        assert (await feed.reader.spans())[0].lost == numbers[1]
        span, entries = await feed.reader.page(0, 0, 10)
        assert (span.lost, [entry.number for entry in entries]) == (numbers[1], numbers[2:])
        await feed.trim(numbers[3])
        assert (await feed.reader.spans())[0].lost == numbers[3]
        assert (await feed.reader.spans())[0].next == numbers[3] + 1

    async def test_epoch_changes_when_everything_is_lost(self, feed: FeedLog) -> None:
        await feed.append(b"a")
        before = (await feed.reader.spans())[0].epoch
        await feed.renew()
        assert (await feed.reader.spans())[0].epoch == ""
        await feed.append(b"b")
        spans, entries = await feed.reader.follow([0, 0], WAIT_MS)
        assert spans[0].epoch not in ("", before)
        assert [entry.packed for entry in entries] == [b"b"]

    async def test_nothing_is_unstored_when_nothing_was_logged(self, feed: FeedLog) -> None:
        assert await feed.reader.unstored() == [Unstored(), Unstored()]

    async def test_next_entry_is_the_first_unstored_when_a_store_has_all(self, feed: FeedLog) -> None:
        number = await feed.append(b"a")
        span, _ = await feed.reader.spans()
        assert await feed.reader.unstored() == [Unstored(span.epoch, number + 1), Unstored()]

    async def test_oldest_flush_that_no_store_has_is_told_with_its_time_when_several_wait(self, feed: FeedLog) -> None:
        numbers = [await feed.logged([accepted(f"e{place}")]) for place in range(3)]
        epoch = (await feed.reader.spans())[0].epoch
        (first, other) = await feed.reader.unstored()
        assert (first.epoch, first.number) == (epoch, numbers[0])
        assert abs(first.time - time.time_ns() // 1000) < 60_000_000
        assert other == Unstored()
        await feed.stored(numbers[0])
        assert (await feed.reader.unstored())[0].number == numbers[1]
        for number in numbers[1:]:
            await feed.stored(number)
        assert await feed.reader.unstored() == [Unstored(epoch, numbers[-1] + 1), Unstored()]

    async def test_pages_are_good_for_many_callers_when_one_follows(self, feed: FeedLog) -> None:
        numbers = [await feed.append(b"%d" % place) for place in range(10)]
        following = asyncio.create_task(feed.reader.follow([numbers[-1] + 1, 0], WAIT_MS))
        pages = await asyncio.gather(*(feed.reader.page(0, number, 1) for number in numbers))
        assert [entries[0].number for _, entries in pages] == numbers
        await feed.append(b"last")
        assert [entry.packed for entry in (await following)[1]] == [b"last"]
