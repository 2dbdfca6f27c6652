"""Brokered wiring, all of it processes on real servers around a small broker: what it loses, doubles and turns round, and what dies."""

import asyncio
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from shared.domain.principal import Grant
from shared.stages import events as wire
from tests.events import message
from tests.faults.ledger import delivered, rows, streamed
from tests.integration.fronts import environment, new_key
from tests.integration.services import Brokered, serving
from tests.integration.small_broker import SmallBroker, brokering
from tests.waiting import eventually, eventually_now

PREFIX = "sb:log:{0}:"
SECRET = b"s" * 48
WAITING = ("queue", "refused", "received", "receiving", "identities", "pending:local")


@dataclass
class Wired:
    services: Brokered
    broker: SmallBroker
    key: str
    org: str
    log: Any  # the log's Redis
    nats_url: str
    database: str

    async def post(
        self, client: httpx.AsyncClient, source: str, id: str, content: bytes = b"{}", topic: str = "orders.x"
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json", "ce-specversion": "1.0"}
        headers |= {"ce-id": id, "ce-source": source, "ce-type": "order", "ce-topic": topic}
        return await client.post(f"{self.services.door.url}/v1/events", headers=headers, content=content, timeout=30)

    def send(self, id: str, content: bytes = b"{}", topic: str = "orders.x") -> dict[str, Any]:
        """The receipt of one event."""

        async def sent() -> httpx.Response:
            async with httpx.AsyncClient() as client:
                return await self.post(client, "/s", id, content, topic)

        answer = asyncio.run(sent())
        assert answer.status_code == 202, answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    def settled(self) -> bool:
        """Whether nothing waits in the log, the logger holds nothing that isn't in the store yet, and the broker has nothing under way.
        Raises AssertionError with what is left otherwise."""
        waiting = [name for name in WAITING if self.log.exists(PREFIX + name)]
        held = {key: self.log.llen(key) for key in self.log.keys(PREFIX + "taken:*")}
        assert (waiting, held, self.broker.under_way) == ([], {}, 0)
        return True

    def table(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query.encode()).fetchall()

    def verdicts(self) -> dict[str, list[tuple[str, str | None]]]:
        """Verdict and rule of each row, by event id."""
        found: dict[str, list[tuple[str, str | None]]] = {}
        for id, verdict, rule in self.table("SELECT event_id, verdict, rule FROM messages ORDER BY logged_at"):
            found.setdefault(id, []).append((verdict, rule))
        return found


@pytest.fixture
def wired(tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str) -> Iterator[Wired]:
    key = asyncio.run(new_key(database, org, "shop", (Grant("publish", ("orders.>",)),)))
    broker = SmallBroker({})
    services = Brokered(environment(tmp_path, redis_url, nats_url, database), tmp_path, broker.url)
    broker.subscribers = services.subscribers()
    client = redis.Redis.from_url(redis_url)
    with brokering(broker), serving(*services.all):
        yield Wired(services, broker, key, org, client, nats_url, database)
    client.close()


def test_verdict_and_delivery_are_in_the_store_when_an_event_went_through_the_broker(wired: Wired) -> None:
    receipt = wired.send("one")
    assert (receipt["status"], receipt["duplicate"], receipt["deliveries"]) == ("received", False, [])
    wired.send("not granted", topic="pay.now")
    again = wired.send("one")
    assert (again["id"], again["status"], again["duplicate"]) == (receipt["id"], "received", True)
    eventually_now(lambda: len(wired.verdicts()) == 2)
    assert wired.verdicts() == {"one": [("accepted", None)], "not granted": [("blocked", "grant")]}
    eventually_now(lambda: delivered(wired.database) == {receipt["id"]})
    eventually_now(wired.settled)
    expected = {wire.RECEIVED: 2, wire.ACCEPTED: 1, wire.REJECTED: 1, wire.DELIVERED: 1}
    eventually_now(lambda: wired.broker.came == expected)
    assert not wired.broker.refused
    assert not wired.broker.dead


def test_identity_is_free_after_a_refusal_and_taken_after_an_acceptance(wired: Wired) -> None:
    wired.send("e", topic="pay.now")
    eventually_now(lambda: wired.verdicts() == {"e": [("blocked", "grant")]})
    wired.send("e", b'{"a":1}')
    eventually_now(lambda: ("accepted", None) in wired.verdicts()["e"])
    assert wired.send("e", b'{"a": 1}')["status"] == "received"  # the same JSON, spelt otherwise
    wired.send("e", b'{"a":2}')
    eventually_now(lambda: ("blocked", "identity") in wired.verdicts()["e"])
    eventually_now(wired.settled)
    assert sorted(wired.verdicts()["e"], key=str) == [("accepted", None), ("blocked", "grant"), ("blocked", "identity")]


def test_event_is_refused_when_its_proof_is_wrong_or_of_another_type(wired: Wired) -> None:
    about = message("forged", org=wired.org, topic="orders.x", principal="shop")
    said = wire.Said(b"r" * 16, about.org, about.principal, about.revision, ("local",), wire.by_name(about), brokered=True)
    forged = wire.signed(b"k" * 48, wire.ACCEPTED, "/clusters/local/check-constraints", said, about)
    taken = wire.signed(SECRET, wire.RECEIVED, "/clusters/local/ingest", said, about)
    renamed = wire.Event(taken.id, taken.source, wire.ACCEPTED, taken.subject, taken.data, taken.sbproof)
    for event in (forged, renamed):
        answer = httpx.post(
            wired.services.route.url, content=wire.encode(event), headers={"content-type": wire.STRUCTURED, "prefer": "reply"}
        )
        assert (answer.status_code, answer.json()["status"]) == (401, 401)
    # Proven, but no such message was ever accepted: the log knows better, and nothing is published.
    proven = wire.signed(SECRET, wire.ACCEPTED, "/clusters/local/check-constraints", said, about)
    answer = httpx.post(wired.services.route.url, content=wire.encode(proven), headers={"content-type": wire.STRUCTURED, "prefer": "reply"})
    assert (answer.status_code, answer.content) == (202, b"")
    answer = httpx.post(wired.services.check.url, content=wire.encode(taken), headers={"content-type": wire.STRUCTURED, "prefer": "reply"})
    assert (answer.status_code, answer.content) == (202, b""), "the log has no such record: there is nothing to judge"
    assert not delivered(wired.database)


def test_same_answer_comes_when_a_received_event_is_delivered_again(wired: Wired) -> None:
    wired.send("yes")
    wired.send("no", topic="pay.now")
    eventually_now(lambda: wired.broker.came[wire.DELIVERED] == 1 and wired.broker.came[wire.REJECTED] == 1)
    received = [event for event in wired.broker.events if event["type"] == wire.RECEIVED]
    for event in received * 3:
        body = json.dumps({**event.get_attributes(), "data": event.get_data()}).encode()
        answer = httpx.post(wired.services.check.url, content=body, headers={"content-type": wire.STRUCTURED, "prefer": "reply"})
        assert answer.status_code == 200
        data: Any = event.get_data()
        assert answer.json()["type"] == (wire.REJECTED if data["message"]["topic"] == "pay.now" else wire.ACCEPTED)
    eventually_now(wired.settled)
    assert {id: len(found) for id, found in wired.verdicts().items()} == {"yes": 1, "no": 1}


def test_relay_judges_and_publishes_when_the_broker_is_gone(wired: Wired) -> None:
    wired.broker.lose = 1.0
    receipts = [wired.send(f"e{number}", topic="pay.x" if number % 3 == 0 else "orders.x") for number in range(12)]
    assert {receipt["status"] for receipt in receipts} == {"received"}
    eventually_now(wired.settled)
    eventually_now(lambda: len(wired.verdicts()) == 12)
    assert {id for id, found in wired.verdicts().items() if found == [("blocked", "grant")]} == {"e0", "e3", "e6", "e9"}
    eventually_now(lambda: len(delivered(wired.database)) == 8)


class Sources:
    """Senders, each one event after the other, the same again until it is taken. `sent` has the ids that were acknowledged."""

    def __init__(self, wired: Wired, count: int = 6) -> None:
        self.sent: set[str] = set()
        self._wired = wired
        self._next = {f"/s{number}": 0 for number in range(count)}

    async def until(self, stop: asyncio.Event) -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.gather(*(self._send(client, source, stop) for source in self._next))

    async def _send(self, client: httpx.AsyncClient, source: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            response = await self._wired.post(client, source, f"{source} {self._next[source]:05}")
            if response.status_code == 202:
                self.sent.add(response.json()["id"])
                self._next[source] += 1
            else:
                assert response.status_code == 503, response.text


async def all_is_there_once(wired: Wired, sent: set[str]) -> None:
    """Acked is logged; one identity, one row; published is logged, and each once."""
    await eventually(wired.settled, within=180)  # the broker itself may try for half a minute, and wait as long for an answer
    await eventually(lambda: set(rows(wired.database)) == sent)
    assert set(rows(wired.database).values()) == {1}
    stream = await streamed(wired.nats_url, f"sb-{wired.org}")
    assert sorted(stream) == sorted(sent)
    await eventually(lambda: delivered(wired.database) == sent)


async def test_nothing_is_lost_or_twice_when_the_broker_loses_doubles_and_turns_round(wired: Wired) -> None:
    wired.broker.lose, wired.broker.double, wired.broker.late = 0.1, 0.3, 0.3
    sources, stop = Sources(wired), asyncio.Event()
    traffic = asyncio.create_task(sources.until(stop))
    await eventually(lambda: len(sources.sent) > 400, within=180)
    stop.set()
    await traffic
    await all_is_there_once(wired, sources.sent)


@pytest.mark.parametrize("name", ["check", "route", "logger", "door"])
async def test_nothing_is_lost_or_twice_when_a_process_is_killed_under_traffic(wired: Wired, name: str) -> None:
    wired.broker.double = 0.2
    sources, stop = Sources(wired), asyncio.Event()
    victim = getattr(wired.services, name)
    if name == "door":
        await killed_door(wired, sources, stop)
    else:
        traffic = asyncio.create_task(sources.until(stop))
        for seen in (60, 160):
            await eventually(lambda seen=seen: len(sources.sent) > seen, within=180)  # type: ignore[misc]
            victim.signal(signal.SIGKILL)
            await asyncio.to_thread(victim.ended)
            await eventually(lambda seen=seen: len(sources.sent) > seen + 60, within=180)  # type: ignore[misc]
            await asyncio.to_thread(victim.start)
        stop.set()
        await traffic
    await all_is_there_once(wired, sources.sent)


async def killed_door(wired: Wired, sources: Sources, stop: asyncio.Event) -> None:
    """Senders whose connections break have no answer: they send the same again, to the door that is back."""

    back = asyncio.Event()

    async def stubborn() -> None:
        while not stop.is_set():
            try:
                await sources.until(stop)
            except httpx.TransportError:
                await back.wait()

    traffic = asyncio.create_task(stubborn())
    await eventually(lambda: len(sources.sent) > 60, within=180)
    wired.services.door.signal(signal.SIGKILL)
    await asyncio.to_thread(wired.services.door.ended)
    await asyncio.to_thread(wired.services.door.start)
    back.set()
    seen = len(sources.sent)
    await eventually(lambda: len(sources.sent) > seen + 60, within=180)
    stop.set()
    await traffic
