"""What every writer of the hub's feed must do."""

import asyncio

from shared.domain.record import Accepted, Flush, unpack_flush
from shared.ports import FeedReader, FeedWriter
from tests.stored import NOON, accepted, flush


def ids(flushes: list[Flush]) -> list[str]:
    return [record.message.event_id for each in flushes for _, record in each.new() if isinstance(record, Accepted)]


class FeedWriterConformance:
    """Subclasses give `writer` and `reader` of one empty feed of one shard."""

    async def shown(self, reader: FeedReader) -> list[Flush]:
        _, entries = await reader.page(0, 1, 1_000)
        return [unpack_flush(entry.number, entry.packed) for entry in entries]

    async def test_flushes_are_on_the_feed_in_their_order_when_another_cluster_logged_them(
        self, writer: FeedWriter, reader: FeedReader
    ) -> None:
        await writer.ready()
        assert await writer.show("edge", 0, [flush(7, accepted("1")), flush(9, accepted("2"), accepted("3"))]) == 2
        assert ids(await self.shown(reader)) == ["1", "2", "3"]
        assert [one.logged_at for one in await self.shown(reader)] == [NOON + 1000] * 2

    async def test_nothing_is_shown_twice_when_batches_come_again_in_whatever_order(self, writer: FeedWriter, reader: FeedReader) -> None:
        one, two, three = (flush(number, accepted(str(number))) for number in (1, 2, 3))
        assert [await writer.show("edge", 0, batch) for batch in ([one, two], [one, two], [three], [two, three, one])] == [2, 0, 1, 0]
        assert ids(await self.shown(reader)) == ["1", "2", "3"]

    async def test_earlier_flush_is_shown_when_another_worker_of_the_shard_was_faster(self, writer: FeedWriter, reader: FeedReader) -> None:
        await writer.show("edge", 0, [flush(5, accepted("5"))])
        assert await writer.show("edge", 0, [flush(4, accepted("4"))]) == 1
        assert ids(await self.shown(reader)) == ["5", "4"]

    async def test_numbers_count_for_themselves_when_they_are_another_clusters_or_shards_or_logs(
        self, writer: FeedWriter, reader: FeedReader
    ) -> None:
        for cluster, shard, logged_at in (("a", 0, 1), ("b", 0, 1), ("a", 1, 1), ("a", 0, 2)):  # the last: that log was lost
            assert await writer.show(cluster, shard, [flush(1, accepted(f"{cluster}{shard}{logged_at}"), logged_at=logged_at)]) == 1
        assert len(await self.shown(reader)) == 4

    async def test_each_part_is_shown_when_a_flush_comes_in_parts(self, writer: FeedWriter, reader: FeedReader) -> None:
        assert await writer.show("edge", 0, [flush(1, accepted("1")), flush(1, accepted("2"))]) == 2
        assert await writer.show("edge", 0, [flush(1, accepted("2"))]) == 0

    async def test_body_is_cut_and_marked_when_it_is_long(self, writer: FeedWriter, reader: FeedReader) -> None:
        await writer.show("edge", 0, [flush(1, accepted("1", body=b"x" * 16_385))])
        ((record,),) = [[record for _, record in each.new()] for each in await self.shown(reader)]
        assert isinstance(record, Accepted)
        assert (record.cut, record.message.body) == (True, b"x" * 16_384)

    async def test_all_are_shown_once_when_they_come_at_once(self, writer: FeedWriter, reader: FeedReader) -> None:
        batches = [[flush(number, accepted(str(number), body=b"x" * 16_000)) for number in range(at, at + 40)] for at in range(1, 400, 20)]
        told = await asyncio.gather(*(writer.show("edge", 0, batch) for batch in batches))
        assert sum(told) == 420
        assert sorted(ids(await self.shown(reader)), key=int) == [str(number) for number in range(1, 421)]
