"""What a batch is packed to when all of it may be new."""

import pytest

from shared.adapters.postgres.batch import sort_out
from shared.adapters.postgres.copy_rows import END, NO_ROWS, START, Row, key_id, key_rows, message_rows, pieces
from shared.adapters.postgres.new_batch import Behind, NewDay, Twice, new_batch
from shared.adapters.postgres.times import dates, uuids
from shared.domain.record import Accepted, Attempt, DeadLetter, Flush
from tests.stored import NOON, accepted, attempt, flush, taken

DAY = 86_400_000_000
TODAY = NOON // DAY


def packed(*flushes: Flush) -> tuple[Behind, bytes]:
    """What goes behind the messages, and what was sent for those."""
    batch = new_batch(flushes, {TODAY - 1, TODAY, TODAY + 1})
    sent = b"".join(batch.messages)
    assert batch.empty == (sent == NO_ROWS)
    return batch.behind, sent


def test_messages_go_in_the_order_of_the_log_when_flushes_have_several() -> None:
    flushes = [flush(turn, accepted(f"{turn}"), attempt(f"{turn}-no"), accepted(f"{turn}-b", body=b"x" * 50_000)) for turn in range(9)]
    _, sent = packed(*flushes)
    rows = [Row(record, each.logged_at, TODAY) for each in flushes for record in each.records if isinstance(record, Accepted | Attempt)]
    assert sent == b"".join((START, *message_rows(rows), END))


def test_keys_go_by_id_and_those_of_the_days_beside_are_asked_for_when_all_are_of_a_day() -> None:
    behind, _ = packed(flush(1, accepted("1"), accepted("2")), flush(2, accepted("3"), attempt("4")))
    rows = sorted(key_rows(sort_out([flush(1, *(accepted(each) for each in "123"))]).accepted))
    assert b"".join(behind.keys) == b"".join(pieces(rows))
    assert behind.asked == {"ids": uuids([key_id(row) for row in rows]), "days": dates([TODAY - 1, TODAY + 1])}


def test_keys_of_their_own_days_are_asked_for_too_when_there_are_two() -> None:
    behind, _ = packed(flush(1, accepted("1")), flush(2, accepted("2", received_at=NOON + DAY)))
    assert behind.asked["days"] == dates(range(TODAY - 1, TODAY + 3))


def test_the_rest_is_in_the_order_of_the_log_when_several_flushes_have_some() -> None:
    sent = [accepted(str(place), targets=()) for place in range(4)]
    deliveries = [taken(each.message) for each in sent]
    buried = DeadLetter("acme", sent[0].message.id, "local", "refused", 8, NOON)
    behind, _ = packed(flush(1, *sent[:2], *deliveries[:2], buried), flush(2, *sent[2:], *deliveries[2:]))
    lost = [DeadLetter("acme", each.message.id, "", "no-route", 0, NOON + 1000) for each in sent]
    assert (behind.rest.deliveries, behind.rest.dead_letters) == (deliveries, [buried, *lost])


def test_there_is_nothing_to_send_when_no_record_is_a_message() -> None:
    behind, sent = packed(flush(1, delivery := taken(accepted().message)), Flush(2, NOON, b"", ()))
    assert (sent, behind.keys, behind.rest.deliveries) == (NO_ROWS, [], [delivery])


def test_a_batch_isn_t_new_when_an_identity_is_in_it_twice() -> None:
    with pytest.raises(Twice):
        packed(flush(1, accepted("1"), accepted("2")), flush(2, accepted("1", received_at=NOON + 1)))


@pytest.mark.parametrize("days", [-2, 2])
def test_a_batch_waits_for_partitions_when_a_row_or_delivery_is_of_another_day(days: int) -> None:
    for record in (accepted(received_at=NOON + days * DAY), taken(accepted().message, time=NOON + days * DAY)):
        with pytest.raises(NewDay):
            packed(flush(1, record))
