"""What every message store must do."""

import asyncio

import msgspec
import pytest

from shared.domain.errors import NotProcessable
from shared.domain.message import message_id
from shared.domain.principal import Grant
from shared.domain.record import NEW, DeadLetter, Deliveries, Flush
from shared.domain.retention import Retention
from shared.domain.stored import Search, StoredMessage
from shared.domain.verdict import Shadow
from shared.ports import MessageStore
from tests.stored import NOON, accepted, attempt, flush, taken

ALL = (Grant("read"),)
MIDNIGHT = NOON + 43_200_000_000  # between 2026-01-01 and 2026-01-02
MINUTE, DAY = 60_000_000, 86_400_000_000
DUPLICATE = b"d"[0]


async def rows_of(store: MessageStore, org: str, event_id: str = "1") -> tuple[StoredMessage, ...]:
    """All rows of one identity, newest first."""
    found = await store.history(org, message_id(org, "/shop", event_id))
    return () if found is None else found.rows


async def found(store: MessageStore, org: str, *readable: Grant, **wanted: object) -> list[str]:
    """The event ids that a search gives."""
    search = Search(org=org, readable=readable or ALL, **wanted)  # type: ignore[arg-type]  # a test names Search's own fields
    return [row.message.event_id for row in await store.search(search)]


class WritingConformance:
    """What is written, and what isn't written twice. Subclasses give `store`; `org` is the test's own corner of it."""

    async def test_message_is_found_whole_when_it_was_written(self, store: MessageStore, org: str) -> None:
        sent = accepted(
            org=org,
            body=b"\x00\xff{}",
            extensions={"tenant": "x", "count": -3, "flag": True},
            dataschema="http://s/",
            time="2026-01-01T12:00:00.5+02:00",
            targets=("local", "global"),
            received_at=NOON + 123_456,
            revision=7,
        )
        sent = msgspec.structs.replace(sent, shadows=(Shadow("new", "error", "a\0b"), Shadow("far", "route", to=("local",))))
        await store.write(0, [flush(1, sent, logged_at=NOON + 999_999)])
        (row,) = await rows_of(store, org)
        targets = ("local", "global")
        assert row == StoredMessage(
            sent.message.id, sent.message, "accepted", None, None, 202, NOON + 999_999, targets, shadows=sent.shadows
        )

    async def test_refusal_is_found_when_its_reason_has_a_nul(self, store: MessageStore, org: str) -> None:
        refused = msgspec.structs.replace(attempt(org=org), detail="closed\0 today")
        await store.write(0, [flush(1, refused, attempt("2", org))])
        (row,) = await rows_of(store, org)
        assert (row.record_id, (row.detail or "").replace("\0", "\ufffd")) == (refused.record_id, "closed\ufffd today")
        assert len(await rows_of(store, org, "2")) == 1

    @pytest.mark.parametrize("body", [None, b"", b"x" * 1_000_000])
    async def test_body_is_the_received_one_when_it_is_absent_empty_or_large(
        self, store: MessageStore, org: str, body: bytes | None
    ) -> None:
        await store.write(0, [flush(1, accepted(org=org, body=body, subject=None, datacontenttype=None))])
        (row,) = await rows_of(store, org)
        assert (row.message.body, row.message.subject, row.message.datacontenttype) == (body, None, None)

    async def test_reason_is_kept_when_there_was_no_route(self, store: MessageStore, org: str) -> None:
        await store.write(0, [flush(1, accepted(org=org, targets=()))])
        (row,) = await rows_of(store, org)
        assert (row.targets, row.undeliverable) == ((), "no-route")

    async def test_a_message_is_one_dead_letter_when_there_was_no_route_and_it_came_again(self, store: MessageStore, org: str) -> None:
        lost = accepted(org=org, targets=())
        await store.write(0, [flush(1, lost, accepted("2", org))])
        await store.write(0, [flush(2, accepted(org=org, targets=(), received_at=NOON + MINUTE), logged_at=NOON + MINUTE)])
        history = await store.history(org, lost.message.id)
        assert history is not None
        assert history.dead_letters == (DeadLetter(org, lost.message.id, "", "no-route", 0, NOON + 1000),)

    async def test_only_new_records_are_written_when_the_mask_says_so(self, store: MessageStore, org: str) -> None:
        mixed = msgspec.structs.replace(flush(1, accepted("1", org), accepted("2", org)), mask=bytes([NEW, DUPLICATE]))
        await store.write(0, [mixed])
        assert await found(store, org) == ["1"]

    async def test_nothing_is_written_when_there_are_no_records(self, store: MessageStore, org: str) -> None:
        await store.write(0, [])
        await store.write(0, [Flush(1, NOON, b"", ())])
        assert await found(store, org) == []

    async def test_nothing_is_there_twice_when_a_batch_is_written_twice(self, store: MessageStore, org: str) -> None:
        sent = accepted(org=org)
        dead = DeadLetter(org, sent.message.id, "local", "refused", 8, NOON)
        batch = [flush(1, sent, attempt("2", org)), flush(2, taken(sent.message), dead)]
        for _ in range(2):
            await store.write(0, batch)
        history = await store.history(org, sent.message.id)
        assert history is not None
        assert [(row.redelivered, len(row.deliveries)) for row in history.rows] == [(0, 1)]
        assert history.dead_letters == (dead,)
        assert sorted(await found(store, org)) == ["1", "2"]

    async def test_the_rest_is_written_when_a_part_of_a_batch_is_there(self, store: MessageStore, org: str) -> None:
        batch = [flush(number, accepted(str(number), org)) for number in range(1, 4)]
        await store.write(0, batch[1:2])
        await store.write(0, batch)
        assert sorted(await found(store, org)) == ["1", "2", "3"]
        assert [row.redelivered for row in await rows_of(store, org, "2")] == [0]

    async def test_each_part_counts_when_a_flush_is_written_in_parts(self, store: MessageStore, org: str) -> None:
        whole = flush(1, *(accepted(str(number), org) for number in range(3)))
        for place in range(3):
            mask = bytes(NEW if place == other else b"-"[0] for other in range(3))
            await store.write(0, [msgspec.structs.replace(whole, mask=mask)])
        assert sorted(await found(store, org)) == ["0", "1", "2"]

    async def test_flush_counts_when_its_number_was_used_before_the_log_was_lost(self, store: MessageStore, org: str) -> None:
        await store.write(0, [flush(1, accepted("1", org))])
        await store.write(0, [flush(1, accepted("2", org), logged_at=NOON + MINUTE)])
        assert sorted(await found(store, org)) == ["1", "2"]

    @pytest.mark.parametrize("apart", [0, MINUTE, 6 * 60 * MINUTE])
    async def test_redelivery_has_no_second_row_when_it_comes_within_the_log_window(
        self, store: MessageStore, org: str, apart: int
    ) -> None:
        await store.write(0, [flush(1, accepted(org=org), accepted("2", org))])
        await store.write(0, [flush(2, accepted(org=org, received_at=NOON + apart), accepted("3", org))])
        assert [row.redelivered for row in await rows_of(store, org)] == [1]
        assert sorted(await found(store, org)) == ["1", "2", "3"]

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("second", [-MINUTE, MINUTE])
    async def test_redelivery_has_no_second_row_when_midnight_is_between(
        self, store: MessageStore, org: str, second: int, together: bool
    ) -> None:
        flushes = [flush(1, accepted(org=org, received_at=MIDNIGHT - second)), flush(2, accepted(org=org, received_at=MIDNIGHT + second))]
        for batch in [flushes] if together else [flushes[:1], flushes[1:]]:
            await store.write(0, batch)
        (row,) = await rows_of(store, org)
        assert (row.message.received_at, row.redelivered) == (MIDNIGHT - second, 1)

    @pytest.mark.parametrize("together", [True, False])
    async def test_message_is_another_when_its_identity_comes_again_after_the_log_window(
        self, store: MessageStore, org: str, together: bool
    ) -> None:
        flushes = [flush(1 + days, accepted(org=org, received_at=NOON + days * DAY)) for days in (0, 2, 4)]
        for batch in [flushes] if together else [[each] for each in flushes]:
            await store.write(0, batch)
        rows = await rows_of(store, org)
        assert [(row.message.received_at, row.redelivered, row.conflict) for row in rows] == [
            (NOON + days * DAY, 0, False) for days in (4, 2, 0)
        ]

    @pytest.mark.parametrize("together", [True, False])
    async def test_conflict_has_one_row_of_its_own_when_another_digest_comes(self, store: MessageStore, org: str, together: bool) -> None:
        bodies = [b"1", b"2", b"2", b"1"]
        flushes = [flush(1 + at, accepted(org=org, body=body, received_at=NOON + at)) for at, body in enumerate(bodies)]
        for batch in [flushes] if together else [[each] for each in flushes]:
            await store.write(0, batch)
        second, first = await rows_of(store, org)
        assert (first.message.body, first.conflict, first.redelivered) == (b"1", False, 2)
        assert (second.message.body, second.conflict) == (b"2", True)

    @pytest.mark.parametrize("together", [True, False])
    async def test_body_is_that_of_the_flush_when_an_identity_has_several(self, store: MessageStore, org: str, together: bool) -> None:
        first, second = (accepted(org=org, body=body, received_at=NOON + at) for at, body in enumerate([b"1", b"2"]))
        flushes = [flush(1 + at, sent, logged_at=NOON + at) for at, sent in enumerate([first, second, second])]
        for batch in [flushes] if together else [[each] for each in flushes]:
            await store.write(0, batch)
        id = first.message.id
        assert await store.bodies([(id, None), (id, NOON), (id, NOON + 1), (id, NOON + 2), (bytes(16), NOON)]) == {
            (id, None): first.message,
            (id, NOON): first.message,
            (id, NOON + 1): second.message,
            (id, NOON + 2): second.message,  # logged again: its row is the one before
        }

    @pytest.mark.parametrize("apart", [1, 2 * DAY])
    async def test_delivery_is_nobodys_when_an_identity_has_several_messages(self, store: MessageStore, org: str, apart: int) -> None:
        first, second = (accepted(org=org, body=body, received_at=NOON + at) for at, body in ((0, b"1"), (apart, b"2")))
        id, digest, another = first.message.id, first.message.digest, second.message.digest
        await store.write(0, [flush(1, first), flush(2, taken(first.message))])
        assert await store.delivered("local", [(id, digest), (id, another), (id, b"")]) == {(id, digest), (id, b"")}
        await store.write(0, [flush(3, second)])
        assert await store.delivered("local", [(id, digest), (id, another), (id, b"")]) == set()

    async def test_attempts_are_counted_and_consume_nothing_when_a_message_was_refused_before(self, store: MessageStore, org: str) -> None:
        refused = [attempt(org=org, received_at=NOON + at, rule="rate", status=429) for at in range(3)]
        await store.write(0, [flush(1, *refused), flush(2, accepted(org=org, received_at=NOON + 9))])
        history = await store.history(org, refused[0].message.id)
        assert history is not None
        assert (history.attempts, [row.verdict for row in history.rows]) == (3, ["accepted", *["blocked"] * 3])
        last = history.rows[1]
        assert (last.record_id, last.rule, last.detail, last.status) == (refused[2].record_id, "rate", "rate says no", 429)

    async def test_nothing_of_a_batch_is_written_when_one_record_is_poison(self, store: MessageStore, org: str) -> None:
        for poison in (accepted("3", org, topic="\0"), accepted("3", org, time="\ud800")):
            with pytest.raises(NotProcessable):
                await store.write(0, [flush(1, accepted("1", org)), flush(2, accepted("2", org), poison)])
            assert await found(store, org) == []
        await store.write(0, [flush(1, accepted("1", org)), flush(2, accepted("2", org))])
        assert sorted(await found(store, org)) == ["1", "2"]

    async def test_each_message_is_there_once_when_two_write_one_shard_at_once(self, store: MessageStore, org: str) -> None:
        batches = [[flush(10 * turn + n, *(accepted(str(place), org) for place in range(20))) for n in range(1, 4)] for turn in range(4)]
        await asyncio.gather(*(store.write(0, batch) for batch in batches))
        assert len(await found(store, org)) == 20

    async def test_quarantined_record_is_taken_when_it_comes_twice(self, store: MessageStore) -> None:
        for _ in range(2):
            await store.quarantine(0, 1, 2, b"\x00packed", "text with \0 and \ud800")

    async def test_only_what_is_too_old_goes_when_an_org_keeps_less_than_others(self, store: MessageStore, org: str) -> None:
        """The org keeps a day, the other ten years: rows, deliveries and dead letters of the one go, in bounded steps."""
        old = [accepted(str(number), org, received_at=NOON + number) for number in range(5)]
        young, others = accepted("young", org, received_at=NOON + DAY), accepted("others", f"{org}-b")
        buried = DeadLetter(org, old[0].message.id, "local", "refused", 8, NOON + 10)
        await store.write(0, [flush(1, *old, young, others, attempt("6", org, received_at=NOON), taken(old[0].message), buried)])
        retention = Retention({org: 86_400}, 3_650 * 86_400)
        gone = []
        while step := await store.expire(retention, NOON + DAY + MINUTE, 4):
            gone.append(step)
        assert (sum(gone), len(gone) > 1) == (7, True)
        assert await found(store, org) == ["young"]
        assert await found(store, f"{org}-b") == ["others"]
        assert await store.history(org, old[0].message.id) is None

    async def test_identity_is_known_still_when_its_message_is_kept_no_longer(self, store: MessageStore, org: str) -> None:
        sent = accepted(org=org)
        await store.write(0, [flush(1, sent)])
        retention = Retention({org: 3_600}, 3_650 * 86_400)
        assert await store.expire(retention, NOON + 2 * 3_600_000_000, 100) == 1
        assert await found(store, org) == []


class ReadingConformance:
    """What is found. Subclasses give `store`."""

    async def test_history_is_none_when_the_id_is_unknown_or_another_orgs(self, store: MessageStore, org: str) -> None:
        sent = accepted(org=org)
        await store.write(0, [flush(1, sent)])
        assert await store.history("another", sent.message.id) is None
        assert await store.history(org, bytes(16)) is None

    async def test_deliveries_come_with_their_message_when_it_was_delivered(self, store: MessageStore, org: str) -> None:
        first, second = accepted("1", org), accepted("2", org)
        ids = first.message.id + second.message.id
        failed = Deliveries(org, "local", f"sb-{org}", "then", NOON + 1, first.message.id, ("s1",), (), "no quota", 1, "relay")
        both = Deliveries(org, "local", f"sb-{org}", "then", NOON + 2, ids, ("s1", "s2"), (7, 8), by="relay")
        await store.write(0, [flush(1, first, second), flush(2, both), flush(3, failed)])
        listed = {row.message.event_id: [(each.sequence, each.error, each.attempt, each.by) for each in row.deliveries]
                  for row in await store.search(Search(org=org, readable=ALL))}  # fmt: skip
        assert listed == {"1": [(None, "no quota", 1, "relay"), (7, None, 0, "relay")], "2": [(8, None, 0, "relay")]}
        asked = [(sent.message.id, sent.message.digest) for sent in (first, second)]
        assert await store.delivered("local", [*asked, (bytes(16), b"")]) == set(asked)
        assert await store.delivered("global", asked) == set()

    async def test_message_counts_as_undelivered_when_every_delivery_failed(self, store: MessageStore, org: str) -> None:
        sent = accepted(org=org)
        failed = Deliveries(org, "local", f"sb-{org}", "then", NOON, sent.message.id, ("s",), (), "no quota", 1)
        await store.write(0, [flush(1, sent, failed)])
        assert await store.delivered("local", [(sent.message.id, sent.message.digest)]) == set()

    async def test_bodies_are_those_accepted_when_ids_are_asked_for(self, store: MessageStore, org: str) -> None:
        sent, refused = accepted("1", org), attempt("2", org)
        await store.write(0, [flush(1, sent, refused)])
        asked = [(sent.message.id, None), (refused.message.id, None), (bytes(16), None)]
        assert await store.bodies(asked) == {(sent.message.id, None): sent.message}

    async def test_rows_match_when_they_are_searched_by_attribute(self, store: MessageStore, org: str) -> None:
        await store.write(
            0, [flush(1, accepted("1", org, subject="a"), accepted("2", org, source="/other"), attempt("3", org, type="return"))]
        )
        assert await found(store, org, subject="a") == ["1"]
        assert await found(store, org, source="/other") == ["2"]
        assert await found(store, org, source="/other", event_id="2") == ["2"]
        assert await found(store, org, source="/other", event_id="1") == []
        assert await found(store, org, source="/shop", event_id="3") == ["3"]
        assert await found(store, org, event_id="3") == ["3"]
        assert await found(store, org, type="return") == ["3"]
        assert await found(store, org, verdict="blocked") == ["3"]
        assert await found(store, "another") == []

    async def test_topics_match_when_they_are_under_the_pattern(self, store: MessageStore, org: str) -> None:
        topics = ["orders", "orders.eu", "orders.eu.new", "orders.", "ordersx", "a+b.c", "o%", "ö.ä", "line\nbreak.x"]
        await store.write(0, [flush(1, *(accepted(topic, org, topic=topic) for topic in topics))])
        wanted = {
            "orders": ["orders"],
            "orders.*": ["orders.", "orders.eu"],
            "orders.>": ["orders.", "orders.eu", "orders.eu.new"],
            "*": ["o%", "orders", "ordersx"],
            "*.*": ["a+b.c", "line\nbreak.x", "orders.", "orders.eu", "ö.ä"],
            "*.eu.>": ["orders.eu.new"],
            "a+b.*": ["a+b.c"],
            "aab.*": [],
            "o%": ["o%"],
            "ö.*": ["ö.ä"],
            ">": topics,
        }
        for pattern, names in wanted.items():
            assert sorted(await found(store, org, topic=pattern)) == sorted(names), pattern
            assert sorted(await found(store, org, Grant("read", (pattern,)))) == sorted(names), pattern

    async def test_only_granted_rows_are_found_when_grants_are_narrow(self, store: MessageStore, org: str) -> None:
        sent = [accepted(f"{topic}:{subject}", org, topic=topic, subject=subject) for topic in ("a", "b.c") for subject in ("x", None)]
        await store.write(0, [flush(1, *sent)])
        narrow = Grant("read", ("a",), ("x",)), Grant("read", ("b.*", "z"), ("y", "*"))
        assert sorted(await found(store, org, *narrow)) == ["a:x", "b.c:None", "b.c:x"]
        assert await found(store, org, Grant("publish")) == []
        assert await store.search(Search(org=org, readable=())) == []
        assert len(await found(store, org, Grant("admin"))) == 4

    async def test_pages_hold_each_row_once_when_many_have_one_time(self, store: MessageStore, org: str) -> None:
        rows = [accepted(str(place), org, received_at=NOON + place // 10) for place in range(45)]
        await store.write(0, [flush(1, *rows, attempt("a", org))])
        seen: list[str] = []
        before: tuple[int, bytes] | None = None
        while page := await store.search(Search(org=org, readable=ALL, limit=7, before=before)):
            seen += [row.message.event_id for row in page]
            before = page[-1].message.received_at, page[-1].record_id
        assert len(seen) == len(set(seen)) == 46

    async def test_rows_are_within_the_times_when_those_are_given(self, store: MessageStore, org: str) -> None:
        await store.write(0, [flush(1, *(accepted(str(days), org, received_at=NOON + days * DAY) for days in range(4)))])
        assert await found(store, org) == ["3", "2", "1", "0"]
        assert await found(store, org, since=NOON + DAY, until=NOON + 3 * DAY) == ["2", "1"]
        assert await found(store, org, since=-(10**18), until=10**18) == ["3", "2", "1", "0"]
        assert await found(store, org, limit=2) == ["3", "2"]
