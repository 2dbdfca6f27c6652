"""The way of a message, on memory adapters: what is logged, what is published, what the sender is told."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from functions.pipeline import Pipeline
from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.domain.errors import Forbidden, NotProcessable, TooLarge, Unavailable
from shared.domain.logged import Entry
from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.publishing import Outgoing, Published, PublishedGroup
from shared.domain.record import Accepted
from shared.domain.same import same_event
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Outcome, Receipt, Refusal
from tests.events import message

ADMIN = Principal("tester", "acme", (Grant("admin"),))
SHOP = Principal("shop", "acme", (Grant("publish", ("orders.>",)),))


class State:
    current = Snapshot(revision=42, keys={}, documents={"": {"global": b'{"max_bytes":1000}'}})


class Stream:
    """A backbone that takes everything, once: what a stream with duplicate detection does. `lost`: it answers nothing."""

    def __init__(self) -> None:
        self.taken: dict[bytes, int] = {}
        self.lost = False
        self.groups: list[int] = []

    async def publish(self, backbone: str, org: str, group: list[Outgoing]) -> PublishedGroup:
        self.groups.append(len(group))
        return PublishedGroup(backbone, f"sb-{org}", "2026-01-01T00:00:00Z", tuple("s" for _ in group), tuple(map(self._take, group)))

    def _take(self, outgoing: Outgoing) -> Published:
        if self.lost:
            return Published(lost="timeout")
        known = outgoing.message.id in self.taken
        return Published(self.taken.setdefault(outgoing.message.id, len(self.taken) + 1), duplicate=known)

    def reachable(self, backbone: str) -> bool:
        return not self.lost


class Store:
    async def bodies(self, wanted: list[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]:
        return {}


class Product:
    """The pipeline with what it writes to."""

    def __init__(self, log: MemoryLogQueue | None = None) -> None:
        self.log = log or MemoryLogQueue()
        self.stream = Stream()
        self.pipeline = Pipeline.inline(self.log, self.stream, State(), Store())  # type: ignore[arg-type]

    async def submit(self, *messages: Message, principal: Principal = ADMIN) -> list[Outcome]:
        return list(await self.pipeline.submit(messages, principal))

    def logged(self) -> list[Message]:
        return [record.message for flush in self.log.flushes for _, record in flush.new() if isinstance(record, Accepted)]


@pytest.fixture
def product() -> Product:
    return Product()


def refusal(outcome: Outcome) -> Refusal:
    assert isinstance(outcome, Refusal)
    return outcome


def receipt(outcome: Outcome) -> Receipt:
    assert isinstance(outcome, Receipt)
    return outcome


async def test_message_is_logged_and_published_when_accepted(product: Product) -> None:
    (outcome,) = await product.submit(message("e1"))
    answer = receipt(outcome)
    assert (answer.revision, answer.duplicate, answer.message.revision) == (42, False, 42)
    assert [(delivery.stream, delivery.sequence) for delivery in answer.deliveries] == [("sb-acme", 1)]
    assert [logged.event_id for logged in product.logged()] == ["e1"]
    assert product.log.pending["local"] == set()


async def test_nothing_is_published_when_the_log_does_not_answer(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(records: object, publish: object) -> list[Entry]:
        raise Unavailable("no answer")

    monkeypatch.setattr(product.log, "append", fail)
    outcomes = await product.submit(message("e1"), message("e2"))
    assert [refusal(outcome).error.status for outcome in outcomes] == [503, 503]
    assert product.stream.taken == {}


def mixed(make: Callable[..., Message]) -> list[Message]:
    """Messages of which each comes to something else, where `old` was accepted before."""
    return [
        make("good"),
        make("big", body=b"x" * 1001),
        make("old"),
        make("old", body=b'{"sku":"other"}'),
        make("liar", extensions={"org": "globex"}),
        make("good2"),
    ]


async def test_every_place_keeps_its_own_outcome_when_a_group_is_mixed(product: Product) -> None:
    await product.submit(message("old"))
    outcomes = await product.submit(*mixed(message))
    assert receipt(outcomes[0]).message.event_id == "good"
    assert isinstance(refusal(outcomes[1]).error, TooLarge)
    assert receipt(outcomes[2]).duplicate
    assert isinstance(refusal(outcomes[3]).error, NotProcessable)
    assert (refusal(outcomes[4]).error.status, refusal(outcomes[4]).error.rule) == (403, "org")
    assert receipt(outcomes[5]).message.event_id == "good2"
    assert sorted(logged.event_id for logged in product.logged()) == ["good", "good2", "old"]
    assert sorted(attempt.message.event_id for attempt in product.log.attempts) == ["big", "liar", "old"]


async def test_first_verdict_stands_when_a_duplicate_is_refused_by_todays_rules(product: Product) -> None:
    await product.submit(message("e1", topic="pay.now"))
    (again,) = await product.submit(message("e1", topic="pay.now"), principal=SHOP)
    assert receipt(again).duplicate
    (other,) = await product.submit(message("e2", topic="pay.now"), principal=SHOP)
    assert isinstance(refusal(other).error, Forbidden)
    assert refusal(other).recorded


async def test_event_is_the_same_when_only_its_json_is_spelled_otherwise(product: Product) -> None:
    await product.submit(message("e1", body=b'{"sku":"a","n":1}'))
    (again,) = await product.submit(message("e1", body=b'{ "n": 1, "sku": "\\u0061" }'))
    assert receipt(again).duplicate
    assert receipt(again).message.body == b'{"sku":"a","n":1}'
    (other,) = await product.submit(message("e1", body=b'{"sku":"a","n":1.0}'))
    assert refusal(other).error.rule == "identity"


async def test_duplicate_is_published_again_when_sent_again_so_that_a_crash_between_log_and_publish_heals(product: Product) -> None:
    await product.log.append([Accepted(message("e1", revision=42), ("local",))])
    (outcome,) = await product.submit(message("e1"))
    assert receipt(outcome).duplicate
    assert receipt(outcome).deliveries[0].sequence == 1
    assert product.log.pending["local"] == set()


async def test_delivery_is_pending_and_the_backbone_held_when_no_ack_comes(product: Product) -> None:
    product.stream.lost = True
    (outcome,) = await product.submit(message("e1"))
    assert [delivery.status for delivery in receipt(outcome).deliveries] == ["pending"]
    assert product.log.held == {"local": "timeout"}
    product.stream.lost = False
    (later,) = await product.submit(message("e2"))
    assert [delivery.status for delivery in receipt(later).deliveries] == ["pending"]
    assert product.stream.taken == {}, "a door must not overtake the relay"
    assert len(product.log.pending["local"]) == 2


async def test_refusal_is_unavailable_when_the_org_filled_its_share() -> None:
    product = Product(MemoryLogQueue(limit_bytes=2_000))
    outcomes = await product.submit(*[message(f"e{number}", body=b"x" * 100) for number in range(6)])
    full = [refusal(outcome).error for outcome in outcomes if isinstance(outcome, Refusal)]
    assert full
    assert {(error.status, error.rule) for error in full} == {(503, "log-quota")}


async def test_request_is_answered_and_the_backbone_held_when_publishing_fails(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(backbone: str, org: str, group: object) -> PublishedGroup:
        raise RuntimeError("the transport is closed")

    monkeypatch.setattr(product.stream, "publish", fail)
    (outcome,) = await product.submit(message("e1"))
    assert [delivery.status for delivery in receipt(outcome).deliveries] == ["pending"]
    assert product.log.held == {"local": "publishing failed"}


async def test_good_messages_are_published_before_a_conflict_beside_them_is_settled(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    await product.submit(message("old"))
    asked = asyncio.Event()
    answer = asyncio.Event()

    async def slow(entry: Entry) -> None:
        asked.set()
        await answer.wait()

    monkeypatch.setattr(product.log, "first", slow)
    first = asyncio.create_task(product.submit(message("m1"), message("old", body=b"{}")))
    await asked.wait()
    await product.submit(message("m2"))
    answer.set()
    outcomes = await first
    assert isinstance(refusal(outcomes[1]).error, Unavailable)
    assert [product.stream.taken[message(name).id] for name in ("m1", "m2")] == [2, 3]


@pytest.mark.parametrize(
    ("content_type", "first", "second", "same"),
    [
        ("application/json", b'{"a":1,"b":[true,null]}', b'{ "b":[true,null], "a":1 }', True),
        ("application/x+json; charset=utf-8", b"[1]", b"[ 1 ]", True),
        ("application/json", b'{"a":1}', b'{"a":true}', False),
        ("application/json", b'{"a":1,"a":2}', b'{"a":2}', False),
        ("application/json", b'{"a":1}', b'{"a":["1"]}', False),
        ("text/plain", b"42", b"42 ", False),
    ],
)
def test_bodies_are_the_same_when_only_their_json_is_spelled_otherwise(content_type: str, first: bytes, second: bytes, same: bool) -> None:
    one, other = (msgspec.structs.replace(message(body=body), datacontenttype=content_type) for body in (first, second))
    assert same_event(one, other) is same
