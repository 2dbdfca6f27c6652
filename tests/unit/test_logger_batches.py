"""`buffer.messages`: no batch of the logger has more of a topic than config says, and nothing is left out or doubled."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from functions.logger.batches import batches
from shared.domain.logged import Taken, Unreadable
from shared.domain.message import Message
from shared.domain.record import NEW, Accepted, Flush
from tests.events import accepted

BOUNDS = {"a": 2, "b": 3}


def most(message: Message) -> int | None:
    return BOUNDS.get(message.topic)


def flush(number: int, topics: str) -> Flush:
    records = [accepted(f"{number}-{place}", topic=topic) for place, topic in enumerate(topics)]
    return Flush(number, 1, bytes([NEW]) * len(records), records)


def ids(taken: list[Taken]) -> list[str]:
    return [record.message.event_id for one in taken if isinstance(one, Flush) for _, record in one.new() if isinstance(record, Accepted)]


@given(st.lists(st.text("abc", min_size=1, max_size=12), max_size=6))
def test_every_record_is_in_one_batch_and_no_batch_has_too_many(flushes: list[str]) -> None:
    taken: list[Taken] = [flush(number, topics) for number, topics in enumerate(flushes)]
    cut = list(batches(taken, most))
    assert sorted(id for batch in cut for id in ids(batch)) == sorted(ids(taken))
    for batch in cut:
        counts = Counter(
            record.message.topic for one in batch if isinstance(one, Flush) for _, record in one.new() if isinstance(record, Accepted)
        )
        assert all(counts[topic] <= bound for topic, bound in BOUNDS.items())


def test_all_is_one_batch_when_nothing_is_over_its_bound() -> None:
    taken: list[Taken] = [flush(1, "ab"), flush(2, "cccc"), Unreadable(3, b"", "torn"), flush(4, "ab")]
    assert list(batches(taken, most)) == [taken]


def test_records_keep_their_indexes_when_a_flush_is_cut() -> None:
    whole = flush(1, "aacaa")
    first, second = (part for batch in batches([whole], most) for part in batch)
    assert isinstance(first, Flush)
    assert isinstance(second, Flush)
    assert [index for index, _ in first.new()] == [0, 1, 2]
    assert [index for index, _ in second.new()] == [3, 4]
