"""What every log of received messages must do. Subclasses give `queue`, an empty log as a door sees it, and `received`, its other side."""

import asyncio

from shared.domain.errors import Forbidden, NotProcessable
from shared.domain.message import Message
from shared.domain.received import Kept, Received, Ruling, Settled
from shared.domain.record import Accepted, Attempt
from shared.domain.refused import refused
from shared.domain.uuid7 import uuid7
from shared.ports import LogQueue, ReceivedLog
from tests.conformance.log_queue import taken
from tests.events import accepted, message

NO = Forbidden("no", rule="grant")
OTHER = NotProcessable("other content", rule="identity")


def waits(about: Message | None = None) -> Received:
    return Received(uuid7(), about or message("e1"))


def accepts(one: Received, revision: int = 1, targets: tuple[str, ...] = ("local",)) -> Ruling:
    return Ruling(one.record_id, one.message, Kept(revision, targets), Accepted(one.message, targets))


def refuses(one: Received, error: Forbidden | NotProcessable = NO) -> Ruling:
    record = Attempt(one.record_id, one.message, False, error.status, error.rule or "", error.detail)
    return Ruling(one.record_id, one.message, Kept(1, refusal=refused(error)), record)


class ReceivedLogConformance:
    async def test_record_waits_when_it_was_received(self, received: ReceivedLog) -> None:
        records = [waits(message(f"e{number}")) for number in range(20)]
        assert {entered.outcome for entered in await received.receive(records)} == {"new"}
        assert await received.overdue(0, 100) == records
        assert await received.overdue(0, 3) == records[:3]
        assert await received.overdue(0, 3, 18) == records[18:]
        assert await received.overdue(0, 3, 20) == []
        assert await received.overdue(60, 100) == []

    async def test_same_event_waits_once_when_it_comes_again(self, received: ReceivedLog) -> None:
        one, again, other = waits(message("e1", revision=7)), waits(message("e1", revision=8)), waits(message("e1", body=b"{}"))
        assert [entered.outcome for entered in await received.receive([one, again])] == ["new", "waiting"]
        (entered,) = await received.receive([again])
        assert (entered.outcome, entered.revision) == ("waiting", 7)
        assert [entered.outcome for entered in await received.receive([other])] == ["new"], "who is first is for the verdicts to say"

    async def test_each_copy_has_a_verdict_when_its_sender_wants_a_receipt(self, queue: LogQueue, received: ReceivedLog) -> None:
        """The first one's, or that it is a duplicate: who sends again has lost the receipt, or wants it elsewhere."""
        there = {"replyto": "_INBOX.acme.1"}
        copies = [waits(message("e1", extensions=dict(there))) for _ in range(3)]
        assert [entered.outcome for entered in await received.receive(copies[:2])] == ["new", "new"]
        assert await received.overdue(0, 10) == copies[:2]
        assert (await received.settle(accepts(copies[1]))).outcome == "new"
        assert (await received.settle(accepts(copies[0]))).outcome == "duplicate"
        assert [entered.outcome for entered in await received.receive([copies[2]])] == ["new"]
        settled = await received.settle(refuses(copies[2]))
        assert (settled.outcome, settled.kept) == ("duplicate", Kept(1, ("local",)))
        assert await received.overdue(0, 10) == []
        assert [each.outcome for each in await received.receive([waits()])] == ["duplicate"]

    async def test_same_event_waits_once_when_its_place_for_a_receipt_is_not_its_orgs(self, received: ReceivedLog) -> None:
        copies = [waits(message("e1", extensions={"replyto": "_INBOX.globex.1"})) for _ in range(2)]
        assert [entered.outcome for entered in await received.receive(copies)] == ["new", "waiting"]

    async def test_event_is_a_duplicate_when_it_was_accepted_at_another_door(self, queue: LogQueue, received: ReceivedLog) -> None:
        await queue.append([accepted("e1", revision=7)])
        entered = await received.receive([waits(message("e1")), waits(message("e1", org="globex"))])
        assert [(each.outcome, each.revision) for each in entered] == [("duplicate", 7), ("new", 1)]

    async def test_message_is_accepted_and_pending_when_that_is_its_verdict(self, queue: LogQueue, received: ReceivedLog) -> None:
        one = waits()
        await received.receive([one])
        settled = await received.settle(accepts(one, targets=("local", "eu")))
        assert settled.outcome == "new"
        assert await received.overdue(0, 10) == []
        (entry,) = await queue.seen([one.message])
        assert entry is not None
        assert (entry.outcome, entry.targets) == ("duplicate", ("local", "eu"))
        assert settled.entry is not None
        assert (settled.entry.flush, settled.entry.index) == (entry.flush, entry.index)
        assert [each.outcome for each in await received.receive([waits()])] == ["duplicate"]

    async def test_first_verdict_is_kept_when_another_is_given(self, queue: LogQueue, received: ReceivedLog) -> None:
        one, two = waits(message("e1")), waits(message("e2"))
        await received.receive([one, two])
        await received.settle(accepts(one, 1))
        first = await received.settle(refuses(two))
        for again in (refuses(one), accepts(one, 9, ("eu",))):
            assert await received.settle(again) == Settled("kept", Kept(1, ("local",)))
        assert await received.settle(accepts(two)) == Settled("kept", first.kept)
        assert await queue.seen([two.message]) == [None]

    async def test_one_verdict_is_new_when_many_race(self, received: ReceivedLog) -> None:
        one = waits()
        await received.receive([one])
        rulings = [accepts(one, number) if number % 2 else refuses(one) for number in range(40)]
        settled = await asyncio.gather(*map(received.settle, rulings))
        assert sorted(each.outcome for each in settled) == ["kept"] * 39 + ["new"]
        assert len({each.kept for each in settled if each.kept and each.kept.refusal is None}) in (0, 1)
        assert len({(each.kept.revision, each.kept.refusal) for each in settled if each.kept}) == 1

    async def test_identity_is_free_when_it_was_refused(self, received: ReceivedLog) -> None:
        one, again = waits(), waits()
        await received.receive([one])
        assert (await received.settle(refuses(one))).outcome == "new"
        assert [each.outcome for each in await received.receive([again])] == ["new"]
        assert (await received.settle(accepts(again))).outcome == "new"
        kept = (await received.settle(accepts(one))).kept
        assert kept is not None
        assert kept.refusal == refused(NO), "the first record's verdict stays what it was"

    async def test_accepted_elsewhere_meanwhile_is_the_verdict_when_it_is_the_same_event(
        self, queue: LogQueue, received: ReceivedLog
    ) -> None:
        one, two = waits(message("e1")), waits(message("e2"))
        await received.receive([one, two])
        await queue.append([accepted("e1", revision=5, targets=("eu",)), accepted("e2", revision=5, targets=("eu",))])
        for ruling in (accepts(one), refuses(two)):
            settled = await received.settle(ruling)
            assert (settled.outcome, settled.kept) == ("duplicate", Kept(5, ("eu",)))
            assert await received.settle(ruling) == Settled("duplicate", settled.kept), "and so it stays"
        assert await received.overdue(0, 10) == []

    async def test_conflict_waits_for_another_ruling_when_another_event_was_accepted(self, queue: LogQueue, received: ReceivedLog) -> None:
        one = waits(message("e1", body=b'{"sku":"b"}'))
        first = accepted("e1", revision=5)
        await received.receive([one])
        await queue.append([first])
        settled = await received.settle(accepts(one))
        assert settled.outcome == "conflict"
        assert settled.entry is not None
        assert await received.first(settled.entry) == first.message
        assert await received.overdue(0, 10) == [one]
        assert (await received.settle(refuses(one, OTHER))).outcome == "new"
        assert await received.overdue(0, 10) == []

    async def test_record_is_done_with_when_it_is_the_same_under_another_spelling(self, queue: LogQueue, received: ReceivedLog) -> None:
        one = waits(message("e1", body=b'{"sku": "a"}'))
        await received.receive([one])
        await queue.append([accepted("e1", revision=5)])
        same = Ruling(one.record_id, one.message, Kept(5, ("local",)), None)
        settled = await received.settle(same)
        assert (settled.outcome, settled.entry) == ("new", None)
        assert await received.settle(accepts(one)) == Settled("kept", Kept(5, ("local",)))

    async def test_nothing_is_logged_when_the_record_is_unknown(self, queue: LogQueue, received: ReceivedLog) -> None:
        one = waits()
        assert await received.settle(accepts(one)) == Settled("gone")
        assert await queue.seen([one.message]) == [None]

    async def test_message_is_no_longer_pending_when_its_backbone_took_it(self, queue: LogQueue, received: ReceivedLog) -> None:
        one = waits()
        await received.receive([one])
        await received.settle(accepts(one))
        (entry,) = await queue.seen([one.message])
        assert entry is not None
        queue.delivered([entry], taken([entry]))
        (later,) = await queue.append([accepted("e2")])  # carries it
        assert later.outcome == "new"


class SmallReceivedLogConformance:
    """The same port with a limit of 100,000 bytes, given by the fixture `small`."""

    async def test_org_is_stopped_at_three_quarters_when_it_fills_the_log(self, small: ReceivedLog) -> None:
        records = [waits(message(f"e{number}", body=b"x" * 9_000)) for number in range(12)]
        outcomes = [(await small.receive([record]))[0].outcome for record in records]
        assert outcomes[:5] == ["new"] * 5
        assert outcomes[-1] == "full"
        for record in records[:5]:
            await small.settle(refuses(record))
        assert [each.outcome for each in await small.receive([records[-1]])] == ["new"], "the verdict gave the room back, nearly"
