"""What every log queue must do (log.md). Subclasses give `queue`, a fixture with an empty, started one."""

import time
from collections.abc import Sequence

from shared.domain.logged import Entry
from shared.domain.record import Deliveries
from shared.ports import LogQueue
from tests.events import accepted, attempt, message


def taken(entries: Sequence[Entry], backbone: str = "local") -> Deliveries:
    """The delivery record of these entries."""
    ids = b"".join(entry.message.id for entry in entries)
    places = tuple(range(1, len(entries) + 1))
    return Deliveries(
        "acme", backbone, "sb-acme", "2026-01-01T00:00:00Z", time.time_ns() // 1000, ids, tuple("sb.acme._.x" for _ in places), places
    )


class LogQueueConformance:
    async def test_each_record_has_an_entry_in_order_when_appended(self, queue: LogQueue) -> None:
        records = [accepted(f"e{number}") for number in range(50)]
        entries = await queue.append(records)
        assert [entry.message.event_id for entry in entries] == [f"e{number}" for number in range(50)]
        assert {entry.outcome for entry in entries} == {"new"}
        places = [(entry.flush, entry.index) for entry in entries]
        assert places == sorted(set(places))

    async def test_entries_are_those_that_publish_was_given_when_a_call_takes_several_flushes(self, queue: LogQueue) -> None:
        given: list[Entry] = []
        entries = await queue.append([accepted(f"e{number}", source=f"/shop-{number % 7}") for number in range(1_100)], given.extend)
        assert len(given) == 1_100
        assert {id(entry) for entry in entries} == {id(entry) for entry in given}, "receipts are found by them"

    async def test_second_copy_is_a_duplicate_when_inside_the_window(self, queue: LogQueue) -> None:
        (first,) = await queue.append([accepted("e1", revision=7, targets=("local", "eu"))])
        (second,) = await queue.append([accepted("e1", revision=9, targets=("us",))])
        assert (second.outcome, second.revision, second.targets) == ("duplicate", 7, ("local", "eu"))
        assert (second.flush, second.index) == (first.flush, first.index)

    async def test_second_copy_is_a_duplicate_when_in_the_same_call(self, queue: LogQueue) -> None:
        entries = await queue.append([accepted("e1"), accepted("e2"), accepted("e1")])
        assert [entry.outcome for entry in entries] == ["new", "new", "duplicate"]
        assert (entries[2].flush, entries[2].index) == (entries[0].flush, entries[0].index)

    async def test_other_content_is_a_conflict_when_the_identity_is_known(self, queue: LogQueue) -> None:
        first = accepted("e1", body=b'{"sku":"a"}')
        await queue.append([first])
        (entry,) = await queue.append([accepted("e1", body=b'{"sku":"b"}')])
        assert entry.outcome == "conflict"
        assert await queue.first(entry) == first.message

    async def test_same_id_is_another_message_when_the_org_differs(self, queue: LogQueue) -> None:
        entries = await queue.append([accepted("e1", org="acme"), accepted("e1", org="globex")])
        assert [entry.outcome for entry in entries] == ["new", "new"]

    async def test_look_up_finds_what_was_accepted_and_writes_nothing_when_asked(self, queue: LogQueue) -> None:
        await queue.append([accepted("e1")])
        found = await queue.seen([message("e1"), message("e2"), message("e1", body=b"{}")])
        assert [entry and entry.outcome for entry in found] == ["duplicate", None, "conflict"]
        (entry,) = await queue.append([accepted("e2")])
        assert entry.outcome == "new"

    async def test_refusal_does_not_consume_the_identity_when_retried(self, queue: LogQueue) -> None:
        assert queue.refuse([attempt("e1")]) == [True]
        (entry,) = await queue.append([accepted("e1")])
        assert entry.outcome == "new"

    async def test_ten_refusals_of_a_rule_are_recorded_when_a_second_brings_more(self, queue: LogQueue) -> None:
        recorded = queue.refuse([attempt(f"e{number}") for number in range(30)])
        assert 10 <= sum(recorded) <= 20  # the second may turn while we send
        assert queue.refuse([attempt("other", rule="schema")]) == [True]

    async def test_backbone_is_left_to_the_relay_when_held(self, queue: LogQueue) -> None:
        (entry,) = await queue.append([accepted("e1")])
        assert queue.may_publish(entry, "local")
        queue.hold(entry.shard, "local", "no answer")
        assert not queue.may_publish(entry, "local")
        (later,) = await queue.append([accepted("e2")])
        assert not queue.may_publish(later, "local")
        assert not await queue.opened(later, "local")
        assert queue.may_publish(later, "eu")

    async def test_duplicate_is_known_when_its_first_copy_was_delivered(self, queue: LogQueue) -> None:
        entries = await queue.append([accepted("e1"), accepted("e2")])
        queue.delivered(entries, taken(entries))
        (again,) = await queue.append([accepted("e1")])
        assert again.outcome == "duplicate"


class SmallLogQueueConformance:
    """The same port with a limit of 100,000 bytes, given by the fixture `small`."""

    async def test_org_is_stopped_at_three_quarters_and_others_are_not_when_it_fills_the_log(self, small: LogQueue) -> None:
        outcomes = [(await small.append([accepted(f"e{number}", body=b"x" * 9_000)]))[0].outcome for number in range(12)]
        assert outcomes[:5] == ["new"] * 5
        assert outcomes[-1] == "full"
        (other,) = await small.append([accepted("e1", org="globex", body=b"x" * 9_000)])
        assert other.outcome == "new"

    async def test_full_record_harms_no_neighbour_when_in_one_call(self, small: LogQueue) -> None:
        for number in range(12):
            await small.append([accepted(f"e{number}", body=b"x" * 9_000)])
        entries = await small.append([accepted("big", body=b"x" * 9_000), accepted("other", org="globex", body=b"x" * 1_000)])
        assert [entry.outcome for entry in entries] == ["full", "new"]

    async def test_identity_is_free_when_the_log_was_full(self, small: LogQueue) -> None:
        for number in range(12):
            await small.append([accepted(f"e{number}", body=b"x" * 9_000)])
        (entry,) = await small.append([accepted("e11", body=b"x" * 9_000)])
        assert entry.outcome == "full"
