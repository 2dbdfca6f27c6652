"""Brokered wiring on the memory adapters: receipts, verdicts, the relay of what is late, and what ingest's events are."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import httpx
import msgspec
import pytest

from functions.check_constraints.ruling import Judge
from functions.ingest.receiving import Receiving
from functions.logger.latecomers import AT_ONCE, Latecomers
from functions.route.handler import Route
from functions.route.logged import Logged
from shared import receipts
from shared.adapters.memory.backbones import MemoryBackbones
from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.adapters.memory.receipts import MemoryReceipts
from shared.adapters.memory.received_log import MemoryReceivedLog
from shared.domain.errors import Unavailable
from shared.domain.logged import Entry
from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.received import Received
from shared.domain.rules.limits import Limits
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Receipt, Refusal
from shared.receipts import Persistent
from shared.stages import events as wire
from shared.stages.calls import Calls
from shared.stages.emit import UNDER_WAY, Emitter
from tests.events import accepted, message

TESTER = Principal("tester", "acme", (Grant("publish", ("orders.>",)),))
LIMITED = {"acme": {"org": b'{"rate_limits":[{"name":"slow","per":["org"],"rate":0.001,"burst":2}]}'}}


class State:
    """Snapshots by revision; the last is in force."""

    def __init__(self, *revisions: int, documents: dict[str, dict[str, bytes]] = LIMITED) -> None:
        self.known = {each: Snapshot(each, {sha256(b"k").digest(): TESTER}, documents=documents) for each in revisions}

    @property
    def current(self) -> Snapshot:
        return list(self.known.values())[-1]

    async def at(self, revision: int) -> Snapshot:
        if revision not in self.known:
            raise Unavailable("no such revision")
        return self.known[revision]


class Parts:
    def __init__(self, *revisions: int) -> None:
        self.now = 1_000.0
        self.state = State(*(revisions or (1,)))
        self.queue, self.store = MemoryLogQueue(lambda: self.now), MemoryMessageStore()
        self.log = MemoryReceivedLog(self.queue, lambda: self.now)
        self.emitted: list[Received] = []
        self.published: list[Entry] = []
        self.limits = Limits()
        self.receipts = MemoryReceipts()
        self.judge = Judge(self.log, self.store, self.state, self._limits, self.receipts)
        self.ingest = Receiving(self.log, self.state, self.emitted.extend)
        self.relay = Latecomers(self.log, self.judge, self._publish)

    async def _limits(self) -> Limits:
        return self.limits

    async def _publish(self, entries: Sequence[Entry]) -> None:
        self.published += entries


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def test_sender_is_told_received_when_the_message_is_logged(parts: Parts) -> None:
    outcomes = await parts.ingest.submit([message("e1", revision=0), message("e1"), message("e2")], TESTER)
    told = [
        (outcome.status, outcome.duplicate, outcome.revision, outcome.deliveries) for outcome in outcomes if isinstance(outcome, Receipt)
    ]
    assert told == [("received", False, 1, ()), ("received", True, 1, ()), ("received", False, 1, ())]
    assert [(each.message.event_id, each.message.revision) for each in parts.emitted] == [("e1", 1), ("e2", 1)]


async def test_sender_is_told_to_retry_when_the_log_is_full(parts: Parts) -> None:
    log = MemoryReceivedLog(MemoryLogQueue(limit_bytes=10_000))
    big = message("e1", body=b"x" * 9_000)
    (outcome,) = await Receiving(log, parts.state, parts.emitted.extend).submit([big], TESTER)
    assert isinstance(outcome, Refusal)
    assert (outcome.error.status, outcome.error.rule) == (503, "log-quota")
    assert parts.emitted == []


async def test_rate_token_goes_back_when_the_verdict_was_there_already(parts: Parts) -> None:
    await parts.ingest.submit([message("e1"), message("e2")], TESTER)
    first, second = parts.emitted
    settled = [await parts.judge(first) for _ in range(5)]
    assert [each.outcome for each in settled] == ["new", *["kept"] * 4]
    assert {each.kept for each in settled} == {settled[0].kept}
    told = await parts.judge(second)
    assert told.kept is not None
    assert told.kept.refusal is None, "burst 2: one token each"


async def test_refusal_frees_the_identity_and_is_recorded_under_its_record(parts: Parts) -> None:
    await parts.ingest.submit([message("e1", topic="pay.now")], TESTER)
    (received,) = parts.emitted
    settled = await parts.judge(received)
    assert settled.kept is not None
    assert settled.kept.refusal is not None
    assert (settled.kept.refusal.status, settled.kept.refusal.rule) == (403, "grant")
    assert [attempt.record_id for attempt in parts.queue.attempts] == [received.record_id]
    (again,) = await parts.ingest.submit([message("e1", topic="pay.now")], TESTER)
    assert isinstance(again, Receipt)
    assert not again.duplicate


async def test_conflict_is_the_same_event_or_a_refusal_when_the_identity_was_taken_meanwhile(parts: Parts) -> None:
    await parts.ingest.submit([message("e1", body=b'{"a": 1}'), message("e2", body=b'{"a": 2}')], TESTER)
    await parts.queue.append([accepted("e1", body=b'{"a":1}'), accepted("e2", body=b'{"a":1}')])
    same, other = [await parts.judge(received) for received in parts.emitted]
    assert same.kept is not None
    assert (same.kept.refusal, same.kept.targets) == (None, ("local",))
    assert other.kept is not None
    assert other.kept.refusal is not None
    assert other.kept.refusal.rule == "identity"
    assert not parts.log.waiting


PLACE = "_INBOX.acme.1"


def asking(id: str, **attributes: Any) -> Message:
    return message(id, extensions={"replyto": PLACE}, **attributes)


def told(parts: Parts) -> list[dict[str, Any]]:
    return [msgspec.json.decode(receipt) for receipt in parts.receipts.told.get(PLACE, [])]


async def test_sender_is_told_the_verdict_where_it_said_so_and_nowhere_else(parts: Parts) -> None:
    elsewhere = message("e3", extensions={"replyto": "_INBOX.globex.1"})
    await parts.ingest.submit([asking("e1"), asking("e2", topic="pay.now"), elsewhere, message("e4")], TESTER)
    for received in parts.emitted:
        await parts.judge(received)
    accepted, blocked = told(parts)
    assert (accepted["status"], accepted["duplicate"], accepted["config_revision"]) == ("accepted", False, 1)
    assert accepted["deliveries"] == [{"backbone": "local", "status": "pending"}]
    assert (blocked["status"], blocked["problem"]["status"], blocked["problem"]["rule"]) == ("blocked", 403, "grant")
    assert blocked["problem"]["instance"] == f"/v1/messages/{blocked['id']}"
    assert parts.receipts.told.keys() == {PLACE}


async def test_each_copy_is_told_and_the_second_is_a_duplicate(parts: Parts) -> None:
    await parts.ingest.submit([asking("e1"), asking("e1")], TESTER)
    await parts.ingest.submit([asking("e1", body=b'{"sku": "a"}')], TESTER)  # the same JSON, spelt otherwise
    for received in parts.emitted:
        await parts.judge(received)
    assert [(each["status"], each["duplicate"]) for each in told(parts)] == [("accepted", False), ("accepted", True), ("accepted", True)]
    assert len(parts.queue.flushes) == 1


async def test_verdict_stays_and_is_told_later_when_the_place_is_away(parts: Parts) -> None:
    await parts.ingest.submit([asking("e1")], TESTER)
    (received,) = parts.emitted
    parts.receipts.away = True
    with pytest.raises(Unavailable):
        await parts.judge(received)
    assert not parts.log.waiting, "it is logged all the same, and the relay would deliver it"
    parts.receipts.away = False
    assert (await parts.judge(received)).outcome == "kept"
    assert [each["status"] for each in told(parts)] == ["accepted"]


async def test_message_without_a_route_is_told_so(parts: Parts) -> None:
    parts.state = State(1, documents={"acme": {"org": b'{"routes":[{"when":"false","to":["local"]}]}'}})
    judge = Judge(parts.log, parts.store, parts.state, parts._limits, parts.receipts)
    await Receiving(parts.log, parts.state, parts.emitted.extend).submit([asking("e1")], TESTER)
    await judge(parts.emitted[0])
    assert [each["deliveries"] for each in told(parts)] == [[{"backbone": "", "status": "dead-letter", "error": "no-route"}]]


async def test_receipt_is_counted_as_lost_when_nobody_will_ask_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "PAUSES_S", (0.0, 0.0))
    parts.receipts.away = True
    persistent = Persistent(parts.receipts)
    await persistent.tell("acme", PLACE, b"{}")
    assert persistent.lost == 1
    parts.receipts.away = False
    await persistent.tell("acme", PLACE, b"{}")
    assert (persistent.lost, parts.receipts.told) == (1, {PLACE: [b"{}"]})


async def test_relay_judges_and_publishes_what_is_late_and_nothing_else(parts: Parts) -> None:
    await parts.ingest.submit([message("e1"), message("e2", topic="pay.now")], TESTER)
    parts.now += 4
    await parts.relay.step()
    assert len(parts.log.waiting) == 2
    parts.now += 2
    await parts.ingest.submit([message("e3")], TESTER)
    await parts.relay.step()
    assert [each.message.event_id for each, _ in parts.log.waiting.values()] == ["e3"]
    assert [entry.message.event_id for entry in parts.published] == ["e1"]
    assert parts.relay.judged == 2


async def test_others_are_judged_when_the_revision_of_one_is_not_to_be_had_and_it_too_after_a_minute() -> None:
    parts = Parts(1, 2)
    await parts.ingest.submit([message("e1"), message("e2")], TESTER)
    record_id, (lost, since) = next(iter(parts.log.waiting.items()))
    lost = Received(record_id, msgspec.structs.replace(lost.message, revision=7))
    parts.log.waiting[record_id] = lost, since
    parts.now += 6
    with pytest.raises(Unavailable):
        await parts.relay.step()
    assert list(parts.log.waiting) == [record_id]
    assert [entry.message.event_id for entry in parts.published] == ["e2"]
    parts.now += 60
    await parts.relay.step()
    assert [(entry.message.event_id, entry.revision) for entry in parts.published] == [("e2", 2), ("e1", 2)]


async def test_those_behind_are_judged_when_as_many_as_are_looked_at_can_not_be() -> None:
    """The oldest hundred were looked at, and nothing else for as long as they could not be judged."""
    parts = Parts(1)
    await parts.ingest.submit([message(f"e{number}") for number in range(AT_ONCE + 10)], TESTER)
    for record_id, (lost, since) in list(parts.log.waiting.items())[: AT_ONCE + 5]:
        parts.log.waiting[record_id] = Received(record_id, msgspec.structs.replace(lost.message, revision=7)), since
    parts.now += 6
    with pytest.raises(Unavailable):
        await parts.relay.step()
    assert parts.relay.judged == 5
    assert len(parts.log.waiting) == AT_ONCE + 5


async def test_relay_goes_on_when_it_could_not_be_done(parts: Parts) -> None:
    await parts.ingest.submit([message("e1")], TESTER)
    parts.now += 6
    stop, failures = asyncio.Event(), iter((Unavailable("away"), ValueError("odd")))

    async def publish(entries: Sequence[Entry]) -> None:
        stop.set()
        if error := next(failures, None):
            raise error

    await asyncio.wait_for(Latecomers(parts.log, parts.judge, publish).run(stop), 30)
    assert not parts.log.waiting


async def test_route_publishes_what_the_log_has_as_accepted_and_nothing_else(parts: Parts) -> None:
    backbones = MemoryBackbones()
    logged = Logged(parts.queue, Route(backbones, parts.queue))
    await parts.queue.append([accepted("e1")])
    made = await logged([message("e1"), message("e2"), message("e1", body=b"{}")])
    assert made[0] is not None
    assert [delivery.sequence for delivery in made[0]] == [1]
    assert made[1:] == [None, None]
    parts.now += 121
    assert await logged([message("e1")]) == [None], "it is the relay's, or long done"


def broker(answer: int, came: list[httpx.Request], go: asyncio.Event | None = None) -> Calls:
    async def handle(request: httpx.Request) -> httpx.Response:
        came.append(request)
        if go is not None:
            await go.wait()
        return httpx.Response(answer)

    return Calls("broker", "http://broker/ns/default", 5.0, transport=httpx.MockTransport(handle))


async def test_event_is_proven_and_has_the_extensions_of_the_binding_when_it_is_emitted() -> None:
    came: list[httpx.Request] = []
    emitter = Emitter(broker(202, came), [b"k" * 40], "/clusters/local/ingest", {"region": "eu"})
    record = Received(b"r" * 16, message("e1"))
    emitter.emit([record])
    await emitter.close()
    (request,) = came
    assert msgspec.json.decode(request.content)["region"] == "eu"
    _, (event,) = wire.decode(request.headers["content-type"], dict(request.headers), request.content)
    wire.check([b"k" * 40], event, wire.message_of(event))
    assert (event.type, event.data.record_id, event.data.brokered) == (wire.RECEIVED, record.record_id, True)
    assert wire.message_of(event) == record.message
    assert emitter.left == 0


async def test_event_is_left_to_the_relay_when_the_broker_refuses_it_or_too_many_are_under_way() -> None:
    came: list[httpx.Request] = []
    emitter = Emitter(broker(500, came), [b"k" * 40], "/clusters/local/ingest")
    emitter.emit([Received(b"r" * 16, message("e1"))])
    await emitter.close()
    assert (emitter.left, emitter.reachable()) == (1, False)
    go = asyncio.Event()
    slow = Emitter(broker(202, came, go), [b"k" * 40], "/clusters/local/ingest")
    slow.emit([Received(number.to_bytes(16), message(f"e{number}")) for number in range(UNDER_WAY + 3)])
    assert slow.left == 3
    go.set()
    await slow.close()
    assert slow.left == 3


async def test_token_publishes_by_the_grants_that_came_along_when_config_does_not_have_its_principal(parts: Parts) -> None:
    bearer = Principal("issuer/agent", "acme", (Grant("publish", ("pay.>",)),))
    await parts.ingest.submit([message("e1", topic="pay.now", principal=bearer.name), message("e2", principal=bearer.name)], bearer)
    assert {received.grants for received in parts.emitted} == {bearer.grants}
    told = [(await parts.judge(received)).kept for received in await parts.log.overdue(0, 10)]
    assert [kept.refusal and kept.refusal.rule for kept in told if kept] == [None, "grant"]
