"""Messages that were sent one by one and are submitted together: each has the outcome it would have by itself, and waits for no other's."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import pytest

from functions.door import Told
from functions.singles import Singles
from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.domain.errors import Forbidden, NotProcessable, TooLarge, Unavailable
from shared.domain.logged import Entry
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.publishing import Outgoing, PublishedGroup
from shared.domain.record import Accepted
from shared.domain.registry.reach import Reach
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Outcome
from shared.ports import Publish
from tests.events import message as message_of
from tests.unit.test_pipeline import ADMIN, SHOP, Product, State, mixed, receipt, refusal
from tests.unit.test_pipeline_rules import snapshot
from tests.waiting import eventually

message = partial(message_of, revision=42)  # as a door stamps it


class Sent:
    """Messages that were submitted together, and what each was told."""

    def __init__(self, product: Product, messages: Sequence[Message], principal: Principal = ADMIN) -> None:
        self.told: dict[int, Outcome | Exception] = {}
        self._count = len(messages)
        Singles(product.pipeline)(messages, principal, self._tell)

    def _tell(self, places: Sequence[int], told: Told) -> None:
        for at, place in enumerate(places):
            assert place not in self.told, "told twice"
            self.told[place] = told if isinstance(told, Exception) else told[at]
        assert isinstance(told, Exception) or len(told) == len(places)

    async def all(self) -> list[Any]:
        """What they were told, in order."""
        await eventually(lambda: len(self.told) == self._count)
        return [self.told[place] for place in range(self._count)]


@pytest.fixture
def product() -> Product:
    return Product()


async def test_singles_are_written_down_and_published_together_when_nothing_is_asked_of_them(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, appended = product.log.append, list[int]()

    async def counted(records: Sequence[Accepted], publish: Publish) -> Sequence[Entry]:
        appended.append(len(records))
        return await append(records, publish)

    await product.submit(message("e0"))  # from now on the rules of its place are known
    monkeypatch.setattr(product.log, "append", counted)
    outcomes = await Sent(product, [message(f"m{number}") for number in range(50)]).all()
    assert [receipt(outcome).message.event_id for outcome in outcomes] == [f"m{number}" for number in range(50)]
    assert [receipt(outcome).deliveries[0].sequence for outcome in outcomes] == list(range(2, 52))
    assert (appended, product.stream.groups) == ([50], [1, 50])


async def test_each_has_its_own_outcome_when_singles_are_mixed(product: Product) -> None:
    await product.submit(message("old"))
    twins = [message("good"), message("good2", body=b'{"sku":"b"}')]
    outcomes = await Sent(product, [*mixed(message), *twins]).all()
    assert receipt(outcomes[0]).message.event_id == "good"
    assert isinstance(refusal(outcomes[1]).error, TooLarge)
    assert receipt(outcomes[2]).duplicate
    assert isinstance(refusal(outcomes[3]).error, NotProcessable)
    assert (refusal(outcomes[4]).error.status, refusal(outcomes[4]).error.rule) == (403, "org")
    assert not receipt(outcomes[5]).duplicate
    assert (receipt(outcomes[6]).duplicate, receipt(outcomes[6]).message.event_id) == (True, "good")
    assert isinstance(refusal(outcomes[7]).error, NotProcessable)
    assert sorted(logged.event_id for logged in product.logged()) == ["good", "good2", "old"]
    assert set(product.stream.taken) == {message(name).id for name in ("good", "good2", "old")}


async def test_one_is_refused_by_itself_when_the_principal_may_not_publish_there(product: Product) -> None:
    good, bad = await Sent(product, [message("e1"), message("e2", topic="pay.now")], SHOP).all()
    assert receipt(good).message.event_id == "e1"
    assert isinstance(refusal(bad).error, Forbidden)


async def test_one_is_blocked_by_itself_when_a_policy_says_so(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    ruled = {"policies": [{"name": "no-pay", "when": 'message.topic == "pay.now"', "reason": "closed"}]}
    monkeypatch.setattr(State, "current", snapshot(topics__pay_now=ruled))
    good, bad, other = await Sent(product, [message("e1"), message("e2", topic="pay.now"), message("e3")]).all()
    assert [receipt(outcome).message.event_id for outcome in (good, other)] == ["e1", "e3"]
    assert refusal(bad).error.rule == "policy:no-pay"


async def test_nobody_waits_for_a_conflict_of_a_neighbour_s(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    await product.submit(message("old"))
    answer = asyncio.Event()

    async def slow(entry: Entry) -> None:
        await answer.wait()

    monkeypatch.setattr(product.log, "first", slow)
    sent = Sent(product, [message("m1"), message("old", body=b"{}"), message("m2")])
    await eventually(lambda: sorted(sent.told) == [0, 2], within=10)
    answer.set()
    assert isinstance(refusal((await sent.all())[1]).error, Unavailable)


async def test_nobody_waits_for_a_backbone_of_a_neighbour_s(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    publish, asked, answer = product.stream.publish, asyncio.Event(), asyncio.Event()

    async def slowly(backbone: str, org: str, group: list[Outgoing]) -> PublishedGroup:
        if backbone == "hub":
            asked.set()
            await answer.wait()
        return await publish(backbone, org, group)

    monkeypatch.setattr(product.stream, "publish", slowly)
    routed = snapshot(topics__slow={"routes": [{"to": ["global"]}]})
    monkeypatch.setattr(State, "current", msgspec.structs.replace(routed, backbones=(Reach("hub", "acme", "us", "global"),)))
    first = asyncio.create_task(product.submit(message("e0"), message("s0", topic="slow")))
    await asyncio.wait_for(asked.wait(), 10)  # and the rules of both places are known
    sent = Sent(product, [message("e1", topic="slow"), message("e2"), message("e3", topic="slow"), message("e4")])
    await eventually(lambda: sorted(sent.told) == [1, 3], within=10)
    answer.set()
    outcomes = await sent.all()
    assert [receipt(outcome).deliveries[0].backbone for outcome in outcomes] == ["hub", "local", "hub", "local"]
    assert [receipt(outcome).message.event_id for outcome in outcomes] == ["e1", "e2", "e3", "e4"]
    await first


async def test_each_is_refused_when_the_log_does_not_answer(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    await product.submit(message("e0"))

    async def fail(records: object, publish: object) -> list[Entry]:
        raise Unavailable("no answer")

    monkeypatch.setattr(product.log, "append", fail)
    messages = [message("e1"), message("e2")]
    outcomes = await Sent(product, messages).all()
    assert [(refusal(outcome).error.status, refusal(outcome).id) for outcome in outcomes] == [(503, one.id) for one in messages]
    assert set(product.stream.taken) == {message("e0").id}


async def test_each_is_told_when_something_fails(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    await product.submit(message("e0"))

    async def fail(records: object, publish: object) -> list[Entry]:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(product.log, "append", fail)
    messages = [message("e1"), message("e2"), message("e3", extensions={"org": "acme"})]
    assert [str(told) for told in await Sent(product, messages).all()] == ["a fault of ours"] * 3


async def test_each_is_told_when_there_is_no_config(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_yet(_: object) -> Snapshot:
        raise Unavailable("no config yet")

    monkeypatch.setattr(State, "current", property(none_yet))
    assert [type(told) for told in await Sent(product, [message("e1"), message("e2")]).all()] == [Unavailable, Unavailable]


async def test_some_are_accepted_when_the_org_s_share_of_the_log_fills_up() -> None:
    product = Product(MemoryLogQueue(limit_bytes=2_000))
    await product.submit(message("e"))
    outcomes = await Sent(product, [message(f"e{number}", body=b"x" * 100) for number in range(6)]).all()
    full = [place for place, outcome in enumerate(outcomes) if not hasattr(outcome, "deliveries")]
    assert 0 < len(full) < 6
    assert {(refusal(outcomes[place]).error.status, refusal(outcomes[place]).error.rule) for place in full} == {(503, "log-quota")}
    assert len(product.logged()) == 1 + 6 - len(full)
