"""Inline and remote wiring, all of it processes on real servers: the same verdicts, receipts and rows; and what a stage's end costs."""

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from shared.domain.principal import Grant
from tests.corpus import BATCH, BATCHES, SINGLE, STRUCTURED, Case, attributes
from tests.faults.ledger import delivered, rows, streamed
from tests.integration.fronts import environment, new_key
from tests.integration.services import Remote, Service, serving
from tests.servers import Databases, RedisDatabases, running
from tests.waiting import eventually, eventually_now

ORG = "wire"  # four letters: the corpus counts on that
PREFIX = "sb:log:{0}:"
ROWS = """
    SELECT m.event_id, m.source, m.org, m.topic, m.subject, m.type, m.time, m.datacontenttype, m.extensions::text, encode(m.digest, 'hex'),
           md5(m.body), m.door, m.principal, m.config_revision, m.verdict, m.rule, m.detail, m.status, m.targets, m.conflict, m.cut
    FROM messages m ORDER BY m.event_id, m.source, m.verdict, m.digest, m.rule
"""
DELIVERIES = "SELECT message_id::text, backbone, stream, sequence, error, attempt, by FROM deliveries ORDER BY message_id, sequence"


@dataclass
class Wiring:
    """A door and what is behind it. `keys` are an admin's, and of one who may publish below `orders.` alone."""

    door: Service
    keys: tuple[str, str]
    database: str
    client: httpx.Client

    def send(self, case: Case, key: int = 0) -> tuple[int, Any]:
        """Status and body of the answer."""
        headers = [*case.headers, (b"authorization", f"Bearer {self.keys[key]}".encode())]
        if case.content_type is not None:
            headers.append((b"content-type", case.content_type))
        response = self.client.post(f"{self.door.url}/v1/events", headers=headers, content=case.body)
        return response.status_code, response.json()

    def table(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture(scope="module")
def wirings(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, databases: Databases, migrated_template: str
) -> Iterator[tuple[Wiring, Wiring]]:
    """The same org in two installs, inline and remote."""
    found: list[Wiring] = []
    with ExitStack() as stack:
        for name in ("inline", "remote"):
            directory = tmp_path_factory.mktemp(name)
            nats = stack.enter_context(running("nats", directory / "nats"))
            database = stack.enter_context(databases.temporary(migrated_template))
            settings = environment(directory, redis_databases.fresh(), nats.url, database)
            keys = [asyncio.run(new_key(database, ORG, *who)) for who in (("admin",), ("shop", (Grant("publish", ("orders.>",)),)))]
            if name == "inline":
                services = (door := Service("ingest", settings, directory), Service("logger", settings, directory))
            else:
                remote = Remote(settings, directory)
                door, services = remote.door, remote.all  # type: ignore[assignment]
            stack.enter_context(serving(*services))
            client = stack.enter_context(httpx.Client(timeout=30))  # one for all: each new one reads the machine's certificates
            found.append(Wiring(door, (keys[0], keys[1]), database, client))
        yield found[0], found[1]


def judged() -> Iterator[tuple[Case, int]]:
    """What the rules have something to say about: the case, and whose key it is sent with."""

    def case(name: str, **changes: Any) -> Case:
        return Case(name, STRUCTURED, (), json.dumps(attributes(name, **changes)).encode())

    yield case("ruled: granted", topic="orders.created"), 1
    yield case("ruled: not granted", topic="pay.now"), 1
    yield case("ruled: granted", topic="orders.created"), 1  # a duplicate
    yield case("ruled: granted", topic="orders.created", data={"a": 2}), 1  # the same identity, another body
    yield case("ruled: granted", topic="pay.now"), 1  # the same, refused by the rules, too
    yield case("ruled: another org", org="globex"), 0
    yield case("ruled: over the limit", data="x" * 1_048_577), 0
    events = [attributes(f"ruled: batch {number}", topic="pay.now" if number % 3 else "orders.x") for number in range(30)]
    yield Case("ruled: a mixed batch", BATCH, (), json.dumps([*events, events[0], {"id": "bad"}]).encode()), 1


def same_table(one: Wiring, other: Wiring, query: str) -> bool:
    rows = one.table(query)
    return bool(rows) and rows == other.table(query)


def test_wiring_makes_no_difference_to_verdicts_receipts_and_rows(wirings: tuple[Wiring, Wiring]) -> None:
    inline, remote = wirings
    for case, key in [*((case, 0) for case in (*SINGLE, *BATCHES)), *judged()]:
        expected = inline.send(case, key)
        assert remote.send(case, key) == expected, case.name
    ends = "SELECT DISTINCT status FROM messages WHERE event_id LIKE 'ruled:%'"
    eventually_now(lambda: {status for (status,) in remote.table(ends)} >= {202, 403, 413, 422})
    for query in (ROWS, DELIVERIES):
        eventually_now(partial(same_table, inline, remote, query))


def test_nothing_is_degraded_when_all_stages_answer(wirings: tuple[Wiring, Wiring]) -> None:
    eventually_now(lambda: [wiring.door.degraded() for wiring in wirings] == [[], []])


# ---- a wiring of the test's own, to break -------------------------------------------------------------------------------------


@dataclass
class Broken:
    remote: Remote
    key: str
    org: str
    log: Any  # the log's Redis
    nats_url: str
    database: str

    def pending(self) -> int:
        return int(self.log.zcard(PREFIX + "pending:local"))

    def held(self) -> bool:
        return self.log.hget(PREFIX + "gates", "local") is not None

    async def post(self, client: httpx.AsyncClient, source: str, id: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json", "ce-specversion": "1.0"}
        headers |= {"ce-id": id, "ce-source": source, "ce-type": "order"}
        return await client.post(f"{self.remote.door.url}/v1/events", headers=headers, content=b"{}", timeout=30)


@pytest.fixture
def broken(tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str) -> Iterator[Broken]:
    remote = Remote(environment(tmp_path, redis_url, nats_url, database), tmp_path)
    key = asyncio.run(new_key(database, org))
    client = redis.Redis.from_url(redis_url)
    with serving(*remote.all):
        yield Broken(remote, key, org, client, nats_url, database)
    client.close()


class Sources:
    """Senders, each one event after the other, the same again until it is accepted."""

    def __init__(self, broken: Broken, count: int = 8) -> None:
        self.accepted: dict[str, list[str]] = {f"/s{number}": [] for number in range(count)}
        self.answers: list[httpx.Response] = []
        self._broken = broken

    async def until(self, stop: asyncio.Event) -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.gather(*(self._send(client, source, stop) for source in self.accepted))

    async def _send(self, client: httpx.AsyncClient, source: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            response = await self._broken.post(client, source, f"{len(self.accepted[source]):05}")
            self.answers.append(response)
            if response.status_code == 202:
                self.accepted[source].append(response.json()["id"])

    def latest(self) -> set[str]:
        """How the last deliveries ended."""
        return {answer.json()["deliveries"][0].get("status", "delivered") for answer in self.answers[-4:] if answer.status_code == 202}


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_no_message_is_lost_or_twice_and_order_holds_when_route_dies_or_hangs_under_traffic(
    broken: Broken, fault: signal.Signals
) -> None:
    sources, stop, route = Sources(broken), asyncio.Event(), broken.remote.route
    traffic = asyncio.create_task(sources.until(stop))
    await eventually(lambda: len(sources.answers) > 200)
    assert sources.latest() == {"delivered"}
    if fault == signal.SIGKILL:
        await asyncio.to_thread(route.kill)
    else:
        route.signal(fault)
    await eventually(lambda: "pending" in sources.latest())
    assert "route" in await asyncio.to_thread(broken.remote.door.degraded)
    before = len(sources.answers)
    await eventually(lambda: len(sources.answers) > before + 20)
    if fault == signal.SIGKILL:
        await asyncio.to_thread(route.start)
    else:
        route.signal(signal.SIGCONT)
    await eventually(lambda: sources.latest() == {"delivered"})
    stop.set()
    await traffic
    await eventually(lambda: not broken.pending() and not broken.held())

    stream = await streamed(broken.nats_url, f"sb-{broken.org}")
    places = {id: place for place, id in enumerate(stream)}
    assert len(places) == len(stream), "a message is there twice"
    for ids in sources.accepted.values():
        assert [id for id in ids if id not in places] == []
        assert sorted(ids, key=places.__getitem__) == ids
    everything = {id for ids in sources.accepted.values() for id in ids}
    await eventually(lambda: everything <= delivered(broken.database))
    assert set(rows(broken.database).values()) == {1}


async def test_answer_is_503_and_nothing_is_logged_until_the_check_stage_is_back(broken: Broken) -> None:
    check, door = broken.remote.check, broken.remote.door
    async with httpx.AsyncClient() as client:
        assert (await broken.post(client, "/s", "1")).status_code == 202
        check.kill()
        refused = await broken.post(client, "/s", "2")
        assert (refused.status_code, refused.json()["status"]) == (503, 503)
        assert "retry-after" in refused.headers
        await eventually(lambda: door.degraded() == ["check-constraints"])
        check.start()
        again = await broken.post(client, "/s", "2")
        assert (again.status_code, again.json()["duplicate"]) == (202, False)
        await eventually(lambda: door.degraded() == [])
    await eventually(lambda: len(rows(broken.database)) == 2)


async def test_rows_come_when_log_batch_is_back(broken: Broken) -> None:
    log_batch = broken.remote.log_batch
    log_batch.kill()
    async with httpx.AsyncClient() as client:
        for number in range(20):
            assert (await broken.post(client, "/s", str(number))).status_code == 202
    await eventually(lambda: broken.remote.logger.degraded() == ["log-batch"])
    assert not rows(broken.database)
    log_batch.start()
    await eventually(lambda: len(rows(broken.database)) == 20)
    await eventually(lambda: len(delivered(broken.database)) == 20)
    assert set(rows(broken.database).values()) == {1}


async def test_stages_end_in_good_order_when_they_are_told_to(broken: Broken) -> None:
    sources, stop = Sources(broken), asyncio.Event()
    traffic = asyncio.create_task(sources.until(stop))
    await eventually(lambda: len(sources.answers) > 50)
    stop.set()
    await traffic
    assert {answer.status_code for answer in sources.answers} == {202}
    for service in reversed(broken.remote.all):
        assert await asyncio.to_thread(service.stop) == 0
