"""Entries, messages and results that are made only when they are asked for: as sequences they are like any other."""

import pytest

from shared.domain.in_a_row import ReceiptsInARow, StoredInARow
from shared.domain.logged import Entry, Fresh, Run, joined
from shared.domain.publishing import FirstTime, InARow, Outgoing, Published
from shared.domain.record import Accepted
from shared.domain.verdict import Delivery, Receipt
from shared.edge.metrics import Counters
from tests.events import accepted

RECORDS = [accepted(f"e{number}", revision=7) for number in range(5)]
MESSAGES = [record.message for record in RECORDS]
FIRST, SECOND = Run(RECORDS[:2], 0, 12, 40, 1.5, b"epoch"), Run(RECORDS[2:], 0, 13, 0, 2.5, b"epoch")


def entry(record: Accepted, flush: int, index: int, logged: float) -> Entry:
    return Entry("new", record.message, ("local",), 7, 0, flush, index, None, logged, b"epoch")


ENTRIES = [
    entry(RECORDS[0], 12, 40, 1.5),
    entry(RECORDS[1], 12, 41, 1.5),
    entry(RECORDS[2], 13, 0, 2.5),
    entry(RECORDS[3], 13, 1, 2.5),
    entry(RECORDS[4], 13, 2, 2.5),
]


def test_entries_have_their_places_in_both_flushes_when_they_are_asked_for() -> None:
    fresh = Fresh([FIRST, SECOND])
    assert (list(fresh), len(fresh), fresh[0], fresh[-1], fresh[1:3]) == (ENTRIES, 5, ENTRIES[0], ENTRIES[4], ENTRIES[1:3])
    assert (fresh.org, fresh.targets, list(fresh.messages)) == ("acme", ("local",), MESSAGES)
    assert len(Fresh([SECOND])) == 3


def test_groups_stay_unmade_when_all_of_them_are_fresh() -> None:
    one, other = Fresh([FIRST]), Fresh([SECOND])
    whole = joined([one, other])
    assert isinstance(whole, Fresh)
    assert (list(whole), whole.messages) == (ENTRIES, MESSAGES)
    assert joined([one]) is one
    assert joined([one, ENTRIES[2:]]) == ENTRIES


def test_messages_go_under_their_own_revision_when_they_go_the_first_time() -> None:
    made = [Outgoing(message, 7) for message in MESSAGES]
    group = FirstTime(MESSAGES)
    assert (list(group), len(group), group[1], group[-1], group[1:3]) == (made, 5, made[1], made[-1], made[1:3])


def test_results_have_sequences_in_a_row_when_all_was_taken() -> None:
    made = [Published(9), Published(10), Published(11)]
    row = InARow(range(9, 12))
    assert (list(row), len(row), row[0], row[-1], row[:2]) == (made, 3, made[0], made[-1], made[:2])


def test_receipts_have_their_sequences_when_a_stream_stored_all_of_them_in_a_row() -> None:
    deliveries = [(Delivery("local", "sb-acme", sequence),) for sequence in range(41, 46)]
    receipts = [Receipt(one, 7, some) for one, some in zip(MESSAGES, deliveries, strict=True)]
    stored = StoredInARow("local", "sb-acme", range(41, 46))
    assert (list(stored), len(stored), stored[0], stored[-1], list(stored[1:3])) == (
        deliveries,
        5,
        deliveries[0],
        deliveries[4],
        deliveries[1:3],
    )
    told = ReceiptsInARow(MESSAGES, stored)
    assert (list(told), len(told), told[0], told[-1]) == (receipts, 5, receipts[0], receipts[4])
    for part in (slice(0, 2), slice(2, 9), slice(5, 9), slice(-2, None), slice(None, None, 2)):
        some = told[part]
        assert isinstance(some, ReceiptsInARow)
        assert list(some) == receipts[part]
    with pytest.raises(ValueError, match="5 messages, of which 4 are stored"):
        ReceiptsInARow(MESSAGES, stored[1:])


def test_receipts_are_counted_at_once_when_a_stream_stored_all_of_them_in_a_row() -> None:
    counters = Counters()
    counters.count(ReceiptsInARow(MESSAGES, StoredInARow("local", "sb-acme", range(1, 6))))
    assert (counters.accepted, counters.duplicates, counters.pending, counters.refused) == (5, 0, 0, {})
