"""Submitted messages in hand: acknowledged with an outcome, kept without one, rejected when nothing helps."""

import asyncio
import time
from collections.abc import Sequence

import msgspec
import pytest

from functions.nats_source.handler import Read, settle
from functions.nats_source.intake import WINDOW, Fate, InHand, Intake
from functions.nats_source.redelivered import known
from functions.nats_source.requests import Request, Requests
from functions.nats_source.ways import through
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.codec import encode_receipt
from shared.domain.errors import Malformed, SwitchboardError, Unavailable
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.stored import FirstCopy, StoredMessage
from shared.domain.verdict import Delivery, Outcome, Receipt, Refusal
from shared.edge.flight import Flight, Share
from shared.sources.outcomes import MAX_DELIVERIES, MAX_FAILURES, Done, Rejected, Retry, Settled
from tests.events import message
from tests.waiting import eventually

GONE = Refusal(Unavailable("gone"))  # any outcome will do
TOLD = encode_receipt(GONE)


class Delivered(msgspec.Struct, frozen=True):
    sequence: int
    deliveries: int = 1
    subject: bytes = b"submit.acme.orders"
    payload: bytes = b"{}"
    headers: bytes | None = None
    stored: int = 0


class Stream:
    """What was said to the stream."""

    def __init__(self) -> None:
        self.pulls: list[int] = []
        self.acked: list[int] = []
        self.given_back: list[int] = []
        self.receipts: list[tuple[str, bytes]] = []
        self.rejected: dict[int, str] = {}
        self.keeps_rejects = True

    def pull(self, count: int) -> None:
        self.pulls.append(count)

    def ack(self, some: Sequence[InHand]) -> None:
        self.acked += [one.sequence for one in some]

    def working(self, some: Sequence[InHand]) -> None: ...

    def give_back(self, some: Sequence[InHand]) -> None:
        self.given_back += [one.sequence for one in some]

    def send(self, receipts: Sequence[tuple[str, bytes]]) -> None:
        self.receipts += receipts

    async def reject(self, one: InHand, reason: str) -> bool:
        if self.keeps_rejects:
            self.rejected[one.sequence] = reason
        return self.keeps_rejects


class Work:
    """Gives what `fates` says of a sequence, one after the other; at the end it is done. `groups` are the sequences as they came."""

    def __init__(self, fates: dict[int, list[Settled | Exception]] | None = None) -> None:
        self.fates = fates or {}
        self.groups: list[list[int]] = []

    async def __call__(self, group: Sequence[InHand]) -> list[Fate]:
        self.groups.append([one.sequence for one in group])
        return [(self._settled(one.sequence), f"_INBOX.acme.{one.sequence}") for one in group]

    def _settled(self, sequence: int) -> Settled:
        left = self.fates.get(sequence)
        settled = left.pop(0) if left else Done(GONE)
        if isinstance(settled, Exception):
            raise settled
        return settled


def taken(work: Work, *some: Delivered) -> tuple[Intake, Stream, Flight]:
    stream, flight = Stream(), Flight()
    intake = Intake("acme", stream, work, Share(flight))
    intake.start()
    for one in some:
        intake.take(one)
    return intake, stream, flight


async def test_messages_are_acknowledged_with_their_receipts_when_they_have_an_outcome() -> None:
    intake, stream, flight = taken(Work(), Delivered(1), Delivered(2))
    await eventually(lambda: stream.acked == [1, 2])
    assert stream.receipts == [("_INBOX.acme.1", TOLD), ("_INBOX.acme.2", TOLD)]
    assert (flight.events, flight.bytes, intake.in_hand) == (0, 0, 0)
    await intake.stop()


async def test_what_must_be_tried_again_comes_before_what_came_after_it_and_is_never_acknowledged_before() -> None:
    work = Work({2: [Retry(1), Retry(1)]})
    intake, stream, _ = taken(work, Delivered(1), Delivered(2), Delivered(3))
    await eventually(lambda: len(stream.acked) == 3)
    assert stream.acked == [1, 3, 2]
    assert work.groups == [[1, 2, 3], [2], [2]]
    await intake.stop()


async def test_everything_is_given_back_and_nothing_acknowledged_when_it_stops_in_an_outage() -> None:
    intake, stream, flight = taken(Work({1: [Retry(60_000)] * 99}), Delivered(1))
    await eventually(lambda: intake._paused)
    intake.take(Delivered(2))
    pulls = len(stream.pulls)
    intake.more()
    assert len(stream.pulls) == pulls  # nothing is pulled while it waits
    await intake.stop()
    assert (stream.acked, stream.given_back, flight.events) == ([], [1, 2], 0)


async def test_nothing_is_pulled_when_as_much_is_in_hand_as_may_be() -> None:
    intake, stream, _ = taken(Work({1: [Retry(60_000)] * 99}), *(Delivered(number) for number in range(1, WINDOW + 1)))
    assert stream.pulls == [1]
    intake.more()
    assert stream.pulls == [1]
    await intake.stop()


async def test_pulls_grow_when_nobody_dies_and_are_of_one_when_a_message_was_delivered_often() -> None:
    intake, stream, _ = taken(Work(), Delivered(1))
    for number in range(2, 5):
        await eventually(lambda number=number: len(stream.acked) == number - 1)  # type: ignore[misc]
        intake.take(Delivered(number))
    await eventually(lambda: len(stream.acked) == 4)
    assert stream.pulls == [1, 16, 256, 256, 256]
    intake.take(Delivered(5, deliveries=4))
    await eventually(lambda: len(stream.acked) == 5)
    assert stream.pulls[-1] == 1
    await intake.stop()


async def test_a_message_comes_alone_when_it_was_delivered_often() -> None:
    work = Work()
    intake, stream, _ = taken(work, Delivered(1), Delivered(2, deliveries=4), Delivered(3))
    await eventually(lambda: len(stream.acked) == 3)
    assert work.groups == [[1], [2], [3]]
    await intake.stop()


async def test_it_is_rejected_unseen_when_it_was_delivered_too_often() -> None:
    work = Work()
    intake, stream, _ = taken(work, Delivered(1, deliveries=MAX_DELIVERIES + 1))
    await eventually(lambda: stream.acked == [1])
    assert work.groups == []
    assert "delivered 21 times" in stream.rejected[1]
    await intake.stop()


async def test_only_the_message_that_our_code_fails_over_is_rejected_when_others_were_with_it() -> None:
    work = Work({2: [RuntimeError("a bug")] * (MAX_FAILURES + 2)})
    intake, stream, _ = taken(work, Delivered(1), Delivered(2), Delivered(3))
    await eventually(lambda: len(stream.acked) == 3)
    assert set(stream.rejected) == {2}
    await intake.stop()


async def test_a_reject_stays_in_hand_when_nobody_keeps_it() -> None:
    intake, stream, _ = taken(Work({1: [Rejected("malformed", b"receipt")] * 9}))
    stream.keeps_rejects = False
    intake.take(Delivered(1))
    await eventually(lambda: intake._paused)
    assert stream.acked == []
    stream.keeps_rejects = True
    await eventually(lambda: stream.acked == [1])
    assert (stream.rejected, stream.receipts) == ({1: "malformed"}, [("_INBOX.acme.1", b"receipt")])
    await intake.stop()


async def test_what_came_after_waits_when_the_keys_of_a_token_are_not_to_be_had() -> None:
    principal, asked = Principal("nats:acme", "acme", ()), list[Message]()

    async def way(messages: Sequence[Message], principal: Principal) -> list[Settled]:
        asked.extend(messages)
        return [Done(GONE) for _ in messages]

    events: list[Message | SwitchboardError] = [
        message("e1"),
        Malformed("no event"),
        Unavailable("no keys", retry_after_ms=700),
        message("e2"),
        Malformed("no event"),
    ]
    found = await settle([Read(principal, event, None) for event in events], way)
    assert [type(one) for one in found] == [Done, Rejected, Retry, Retry, Retry]
    assert [one.after_ms for one in found if isinstance(one, Retry)] == [700] * 3
    assert [one.event_id for one in asked] == ["e1"]


class Away(MemoryMessageStore):
    async def accepted(self, org: str, wanted: Sequence[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], FirstCopy]:
        raise Unavailable("away")


async def test_only_what_the_log_must_know_goes_on_when_the_store_is_away() -> None:
    one = message("1")
    young, old = int(time.time() * 1_000_000), int((time.time() - 3600) * 1_000_000)
    found = await known([one, one], [young, old], Away())
    assert found[0] is None
    assert isinstance(found[1], Refusal)
    assert isinstance(found[1].error, Unavailable)


async def test_a_message_is_submitted_when_it_is_not_recorded_as_accepted() -> None:
    assert await known([message("1")], [0], MemoryMessageStore()) == [None]


async def test_a_message_is_not_submitted_again_when_it_went_to_other_backbones_than_the_home_one() -> None:
    """It was looked for on the home backbone alone, and published a second time wherever its route had sent it."""
    store, one = MemoryMessageStore(), message("1")
    store.rows.append(StoredMessage(one.id, one, "accepted", None, None, 202, 5, ("eu-1",)))
    (found,) = await known([one], [0], store)
    assert isinstance(found, Receipt)
    assert found.duplicate
    assert found.deliveries == (Delivery("eu-1", status="pending"),)


async def test_others_have_room_when_several_orgs_hold_what_they_can_not_get_rid_of() -> None:
    """Four orgs whose share of the log was full held all of a process's room: nobody else's was pulled or answered."""
    flight = Flight(max_events=4_096)
    for org in ("a", "b", "c", "d", "e", "f"):
        share = Share(flight)
        stuck = Intake(org, Stream(), Work({number: [Retry(60_000)] * 9 for number in range(WINDOW)}), share)
        stuck.start()
        for number in range(WINDOW):
            if not share.fits():
                break
            stuck.take(Delivered(number))
    answered: list[str] = []

    async def answer(group: Sequence[Request]) -> list[bytes]:
        return [b"receipt"] * len(group)

    other = Share(flight)
    assert other.fits(1_000)
    requests = Requests("quiet", answer, lambda some: answered.extend(text.decode() for _, text in some), other)
    requests.take(b"request.quiet.orders", b"_INBOX.quiet.1", b"{}", None)
    await eventually(lambda: answered == ["receipt"])


async def test_a_request_is_told_to_slow_down_when_its_org_holds_as_much_as_it_leaves_free() -> None:
    answered: list[bytes] = []
    flight = Flight(max_events=10)
    release = asyncio.Event()

    async def answer(group: Sequence[Request]) -> list[bytes]:
        await release.wait()
        return [b"receipt"] * len(group)

    requests = Requests("acme", answer, lambda some: answered.extend(text for _, text in some), Share(flight))
    for number in range(10):
        requests.take(b"request.acme.orders", b"_INBOX.acme.%d" % number, b"{}", None)
    assert len(answered) == 5
    assert all(b'"status":429' in text for text in answered)
    release.set()
    await requests.drain()
    assert answered.count(b"receipt") == 5
    assert (flight.events, flight.bytes) == (0, 0)


@pytest.mark.parametrize(("taken", "status"), [(Done(), "received"), (Retry(5), 503), (Rejected("it answered 400"), 422)])
async def test_a_requests_outcome_is_the_sinks_when_there_is_one(taken: Settled, status: str | int) -> None:
    async def sink(messages: Sequence[Message], principal: Principal) -> list[Settled]:
        return [taken] * len(messages)

    outcomes: Sequence[Outcome] = await through(sink)([message("1")], Principal("nats:acme", "acme", ()))
    assert [one.status if isinstance(one, Receipt) else one.error.status for one in outcomes] == [status]
