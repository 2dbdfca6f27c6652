"""Brokered wiring with both sources before it: who said where has the verdict there, whichever door the event took."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import redis

from shared.domain.principal import Grant
from shared.stages import events as wire
from tests.integration.fronts import environment, new_key
from tests.integration.nats_source.conftest import Agent, connected, event, headers, served
from tests.integration.services import Brokered, Service, serving
from tests.integration.small_broker import SmallBroker, brokering
from tests.servers import Databases, RedisDatabases
from tests.waiting import eventually


@dataclass
class Wired:
    services: Brokered
    broker: SmallBroker
    key: str
    org: str
    nats_url: str
    lists: Any  # the Redis door's, which is not the log's

    def place(self, name: str) -> str:
        return f"sb:receipts:{{{self.org}}}:{name}"

    def push(self, *events: bytes) -> None:
        self.lists.lpush(f"sb:submit:{{{self.org}}}", *events)

    async def receipts(self, name: str, count: int) -> list[dict[str, Any]]:
        """What is in a list of receipts, once it is so many."""
        await eventually(lambda: self.lists.llen(self.place(name)) >= count)
        return [json.loads(one) for one in self.lists.lrange(self.place(name), 0, -1)]


@dataclass
class Wiring:
    """The processes, what joins them, and where they have their data: of all tests."""

    services: Brokered
    broker: SmallBroker
    settings: dict[str, str]


@pytest.fixture(scope="module")
def wiring(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[Wiring]:
    directory, broker = tmp_path_factory.mktemp("brokered"), SmallBroker({})
    with databases.temporary(migrated_template) as database:
        settings = environment(directory, redis_databases.fresh(), nats_url, database)
        settings |= {"SWITCHBOARD_REDIS_DOOR_URL": redis_databases.fresh()}
        services = Brokered(settings, directory, broker.url)
        broker.subscribers = services.subscribers()
        to_door = settings | {"K_SINK": f"{services.door.url}/v1/events"}
        sources = [Service(name, to_door, directory) for name in ("redis_source", "nats_source")]
        with brokering(broker), serving(*services.all, *sources):
            yield Wiring(services, broker, settings)


@pytest.fixture
def wired(wiring: Wiring, org: str) -> Iterator[Wired]:
    """The processes, with an org of the test's own: they come to know of it while they run."""
    settings = wiring.settings
    key = asyncio.run(new_key(settings["SWITCHBOARD_DATABASE_URL"], org, "shop", (Grant("publish", ("orders.>",)),)))
    client = redis.Redis.from_url(settings["SWITCHBOARD_REDIS_DOOR_URL"], socket_timeout=None)
    yield Wired(wiring.services, wiring.broker, key, org, settings["SWITCHBOARD_NATS_URL"], client)
    client.close()


@pytest.fixture
async def agent(wired: Wired) -> AsyncIterator[Agent]:
    async with connected(wired.nats_url, wired.org) as found:
        await served(found)
        yield found


def said(receipts: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Status, and what goes with it: whether it is a duplicate, or the rule."""
    return sorted((one["status"], one.get("duplicate", one.get("problem", {}).get("rule"))) for one in receipts)


ALL = [("accepted", False), ("accepted", True), ("blocked", "org"), ("malformed", None)]


async def test_verdict_is_in_the_senders_list_when_it_came_by_redis(wired: Wired) -> None:
    place, before = wired.place("a"), set(wired.lists.keys("sb:receipts:*"))
    wired.push(event("r1", replyto=place))
    (first,) = await wired.receipts("a", 1)
    assert (first["org"], first["topic"], first["deliveries"]) == (wired.org, "order", [{"backbone": "local", "status": "pending"}])
    wired.push(event("r1", replyto=place), event("r2", org="globex", replyto=place), event("r3", sbid="x", replyto=place))
    assert said(await wired.receipts("a", 4)) == ALL
    wired.push(event("r4", replyto="sb:receipts:{globex}:a"), event("r5"), event("r6", replyto=place))
    assert len(await wired.receipts("a", 5)) == 5
    await eventually(lambda: wired.broker.idle)
    assert set(wired.lists.keys("sb:receipts:*")) - before == {place.encode()}


async def test_verdict_is_in_the_senders_inbox_when_it_came_by_nats(wired: Wired, agent: Agent) -> None:
    await agent.submit("orders", b'{"sku":"a"}', headers("n1"))
    await eventually(lambda: len(agent.receipts) == 1)
    await agent.submit("orders", b"{}", headers("n2", org="globex"))
    await agent.submit("orders", b"{}", headers("n3", sbid="x"))
    # Structured, with the place in a header beside the event: it goes along with it.
    again = json.loads(event("n1", topic="orders"))
    await agent.submit("orders", json.dumps(again).encode(), {"content-type": "application/cloudevents+json"})
    await eventually(lambda: len(agent.receipts) == 4)
    assert said(agent.receipts) == ALL
    assert {one["org"] for one in agent.receipts if one["status"] == "accepted"} == {wired.org}
    assert (await agent.ask("orders", event("n4")))["status"] == "received"


async def test_verdict_is_where_the_sender_said_when_it_came_by_http(wired: Wired, agent: Agent) -> None:
    url = f"{wired.services.door.url}/v1/events"
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {wired.key}", "content-type": wire.STRUCTURED}, timeout=30) as client:

        async def known() -> bool:
            return (await client.post(url, content=b"")).status_code != 401

        await eventually(known)
        for id, topic, place in (("h1", "orders.x", agent.inbox), ("h2", "pay.now", agent.inbox), ("h3", "orders.x", wired.place("h"))):
            answer = await client.post(url, content=event(id, topic=topic, replyto=place))
            assert (answer.status_code, answer.json()["status"]) == (202, "received")
    await eventually(lambda: said(agent.receipts) == [("accepted", False), ("blocked", "grant")])
    assert said(await wired.receipts("h", 1)) == [("accepted", False)]


async def test_verdict_is_told_by_the_relay_when_the_broker_lost_the_event(wired: Wired, agent: Agent) -> None:
    wired.broker.lose = 1.0
    try:
        wired.push(event("r1", replyto=wired.place("late")), event("r2", org="globex", replyto=wired.place("late")))
        await agent.submit("orders", b"{}", headers("n1"))
        assert said(await wired.receipts("late", 2)) == [("accepted", False), ("blocked", "org")]
        await eventually(lambda: said(agent.receipts) == [("accepted", False)])
    finally:
        wired.broker.lose = 0.0


async def test_verdict_is_told_once_the_stage_is_back_when_it_was_killed(wired: Wired) -> None:
    before = wired.broker.came[wire.RECEIVED]
    wired.services.check.kill()
    try:
        wired.push(*(event(f"k{number}", replyto=wired.place("back")) for number in range(20)))
        await eventually(lambda: wired.broker.came[wire.RECEIVED] == before + 20)
    finally:
        wired.services.check.start()
    receipts = await wired.receipts("back", 20)
    assert {one["id"] for one in receipts if one["status"] == "accepted"} == {one["id"] for one in receipts}
    assert len({one["id"] for one in receipts}) == 20
