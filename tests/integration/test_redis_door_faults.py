"""The Redis door, when its Redis fails over, is full, or goes away: what was told is never lost, nothing has a second row, and the door
stays healthy and says what is wrong."""

import asyncio
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from infra.local.state import open_state
from tests.faults import ledger
from tests.integration.names import Name, name_of
from tests.integration.redis_installs import Client, Running, event, install
from tests.integration.services import Service, serving
from tests.servers import LocalServer, running
from tests.waiting import eventually_now

WITHIN = 60  # seconds for a receipt, whatever else the machine does
SOURCES = 8
SOME = 100  # receipts, after which the door is in the middle of it
LOG_BYTES = 1 << 22
DOOR = "redis-door"  # as /readyz names it


@contextmanager
def door_at(directory: Path, log: str, door: str, nats: str, database: str, org: str, **more: str) -> Iterator[tuple[Running, Client]]:
    """The door with the logger behind it, and an org's client of the door's Redis."""
    with (
        install(directory, log, door, nats, database, org, **more) as found,
        serving(Service("logger", found.settings, directory)),
    ):
        client = Client(door, org)
        yield found, client
        client.redis.close()


def elements(numbers: range, place: str) -> list[bytes]:
    """An event each, of a few sources."""
    return [json.dumps(event(f"e{number}", source=f"/source/{number % SOURCES}", replyto=place)).encode() for number in numbers]


def told(client: Client, place: str) -> list[dict[str, Any]]:
    """The receipts so far. They stay."""
    return [json.loads(receipt) for receipt in client.redis.lrange(place, 0, -1)]


def everything_once(found: Running, client: Client, place: str, count: int) -> None:
    """All have a receipt, a row and a place on the stream: one each, though a receipt may have come twice."""
    org, database = client.org, found.settings["SWITCHBOARD_DATABASE_URL"]
    eventually_now(lambda: len({receipt["id"] for receipt in told(client, place)}) == count, within=WITHIN)
    eventually_now(client.empty, within=WITHIN)
    assert {receipt["status"] for receipt in told(client, place)} == {"accepted"}
    eventually_now(lambda: len(ledger.rows(database)) == count, within=WITHIN)
    rows = ledger.rows(database)
    assert set(rows.values()) == {1}
    assert set(rows) == {receipt["id"] for receipt in told(client, place)}

    def stream() -> list[str]:
        return asyncio.run(ledger.streamed(found.settings["SWITCHBOARD_NATS_URL"], f"sb-{org}"))

    eventually_now(lambda: set(stream()) == set(rows), within=WITHIN)  # some may be the relay's
    assert sorted(stream()) == sorted(rows)
    eventually_now(lambda: found.door.degraded() == [], within=WITHIN)
    assert found.metric("redis_door_receipts_dropped") == 0
    assert found.door.stop() == 0


# ---- a failover -------------------------------------------------------------------------------------------------------------


class Pair:
    """Two servers with one password, and a name. The name leads to `first`, of which `second` is a replica."""

    def __init__(self, first: LocalServer, second: LocalServer, name: Name) -> None:
        self.first, self.second, self.name = first, second, name
        self.follow(second, first)

    def follow(self, replica: LocalServer, primary: LocalServer) -> None:
        """Make one the replica of the other; returns once it has all that the other has."""
        to = urlsplit(primary.url)
        with redis.Redis.from_url(replica.url) as client:
            client.config_set("masterauth", to.password or "")
            with redis.Redis.from_url(primary.url) as other:
                other.config_set("repl-diskless-sync-delay", 0)  # seconds that it waits for more replicas
            client.replicaof(to.hostname, to.port)
            eventually_now(lambda: client.info("replication")["master_link_status"] == "up", within=WITHIN)

    def promote(self, replica: LocalServer) -> None:
        with redis.Redis.from_url(replica.url) as client:
            client.replicaof("NO", "ONE")

    def fail_over(self, kind: str) -> None:
        """To the second: the first one is gone, or it is a replica from now on and keeps its connections."""
        if kind == "killed":
            self.first.kill()
        self.promote(self.second)
        if kind == "demoted":
            self.follow(self.first, self.second)
        self.name.lead_to(self.second.url, cut=kind == "killed")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    one, two = tmp_path / "one", tmp_path / "two"
    with running("redis", one) as first:
        open_state(two)
        (two / "passwords.json").write_bytes((one / "passwords.json").read_bytes())
        with running("redis", two) as second, name_of(first.url) as name:
            yield Pair(first, second, name)


def push_to_both(url: str, submit: str, some: Sequence[bytes]) -> None:
    """Push, and return once the replica has it too."""
    with redis.Redis.from_url(url, single_connection_client=True) as client:
        client.lpush(submit, *some)
        assert client.wait(1, WITHIN * 1000) == 1


@pytest.mark.parametrize(("kind", "others"), [("killed", 0), ("demoted", 0), ("killed", 2), ("demoted", 2)])
def test_every_element_has_one_row_and_a_receipt_when_the_doors_redis_fails_over(
    tmp_path: Path, pair: Pair, redis_url: str, nats_url: str, database: str, org: str, kind: str, others: int
) -> None:
    """With other workers, each of which may believe another dead: the new server has heard of no heartbeat for a while."""
    with (
        door_at(tmp_path, redis_url, pair.name.url, nats_url, database, org) as (found, client),
        serving(*(Service("redis_source", found.settings, tmp_path) for _ in range(others))),
    ):
        place, submit = client.place(), client.key("submit")
        push_to_both(pair.first.url, submit, elements(range(2_000), place))
        eventually_now(lambda: len(told(client, place)) >= SOME, within=WITHIN)
        pair.fail_over(kind)
        client.go_to(pair.second.url)
        client.push(*elements(range(2_000, 3_000), place))
        eventually_now(lambda: len({receipt["id"] for receipt in told(client, place)}) == 3_000, within=WITHIN)
        assert found.door.ready()
        if kind == "killed":
            pair.first.start()
            pair.follow(pair.first, pair.second)
        the_name_leads_to_a_replica(found, pair, client, place)
        everything_once(found, client, place, 3_010)


def the_name_leads_to_a_replica(found: Running, pair: Pair, client: Client, place: str) -> None:
    """For a while: what is pushed meanwhile waits, and the door says why."""
    pair.name.lead_to(pair.first.url, cut=True)
    eventually_now(lambda: DOOR in found.door.degraded(), within=WITHIN)
    waited, before = found.metric("redis_door_waits"), len(told(client, place))
    client.push(*elements(range(3_000, 3_010), place))
    eventually_now(lambda: found.metric("redis_door_waits") > waited, within=WITHIN)
    assert 'switchboard_degraded{dependency="redis-door"} 1' in found.http.get(f"{found.door.url}/metrics").text
    assert DOOR in found.door.degraded()
    assert found.door.ready()
    assert len(told(client, place)) == before
    pair.name.lead_to(pair.second.url, cut=False)
    eventually_now(lambda: found.door.degraded() == [], within=WITHIN)


def test_idle_door_goes_to_the_new_server_when_the_old_one_keeps_its_connection_and_follows_nobody(
    tmp_path: Path, pair: Pair, redis_url: str, nats_url: str, database: str, org: str
) -> None:
    """On the old one its lists stay empty for ever: nothing but a write says that it is a replica."""
    with door_at(tmp_path, redis_url, pair.name.url, nats_url, database, org) as (found, client):
        assert client.sent("before")["status"] == "accepted"
        eventually_now(client.empty, within=WITHIN)
        pair.promote(pair.second)
        with redis.Redis.from_url(pair.first.url) as old:
            old.replicaof("127.0.0.1", 1)
        pair.name.lead_to(pair.second.url, cut=False)
        client.go_to(pair.second.url)
        place = client.place()
        client.push(*elements(range(10), place))
        assert {receipt["status"] for receipt in client.receipts(place, 10, within=WITHIN)} == {"accepted"}
        eventually_now(lambda: found.door.degraded() == [], within=WITHIN)


# ---- full, or away ----------------------------------------------------------------------------------------------------------


def fill(client: Client) -> None:
    """No room from now on, whatever is let go of: whoever pushes is told."""
    client.redis.setrange("another's", 2 * LOG_BYTES, b"x")
    client.redis.config_set("maxmemory", LOG_BYTES * 5 // 4)  # more than the log's own limit
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.push(b"no room")


def test_what_was_pushed_is_worked_off_and_told_when_the_doors_redis_is_full(
    tmp_path: Path, own_redis: LocalServer, redis_url: str, nats_url: str, database: str, org: str
) -> None:
    """It is the door that makes room: it must not need any."""
    with door_at(tmp_path, redis_url, own_redis.url, nats_url, database, org) as (found, client):
        place = client.place()
        found.door.signal(signal.SIGSTOP)
        client.push(*elements(range(2_000), place), b"no event")
        fill(client)
        found.door.signal(signal.SIGCONT)
        assert client.rejected()["reason"].startswith("the event: is not JSON")
        eventually_now(lambda: len(told(client, place)) == 2_000, within=WITHIN)
        client.redis.config_set("maxmemory", 0)
        assert not any(receipt["duplicate"] for receipt in told(client, place))
        everything_once(found, client, place, 2_000)


def test_elements_wait_in_their_order_when_the_log_is_in_the_same_redis_and_it_is_full(
    tmp_path: Path, own_redis: LocalServer, nats_url: str, database: str, org: str
) -> None:
    url, small = own_redis.url, {"SWITCHBOARD_LOG_BYTES": str(LOG_BYTES)}
    with door_at(tmp_path, url, url, nats_url, database, org, **small) as (found, client):
        place = client.place()
        found.door.signal(signal.SIGSTOP)
        client.push(*elements(range(1_000), place))
        fill(client)
        found.door.signal(signal.SIGCONT)
        eventually_now(lambda: "log" in found.door.degraded(), within=WITHIN)
        waited = found.metric("redis_door_waits")
        eventually_now(lambda: found.metric("redis_door_waits") > waited + 1, within=WITHIN)
        assert found.door.ready()
        assert told(client, place) == []
        client.redis.config_set("maxmemory", 0)
        eventually_now(lambda: len(told(client, place)) == 1_000, within=WITHIN)
        sequences = [receipt["deliveries"][0].get("sequence", 0) for receipt in told(client, place)]
        assert sequences == sorted(sequences)
        everything_once(found, client, place, 1_000)


def test_door_says_so_and_goes_on_when_its_redis_takes_no_writes_for_a_while(
    tmp_path: Path, own_redis: LocalServer, redis_url: str, nats_url: str, database: str, org: str
) -> None:
    """It still answers what is read: an idle door must find out, too."""
    with door_at(tmp_path, redis_url, own_redis.url, nats_url, database, org) as (found, client):
        client.redis.config_set("min-replicas-to-write", 1)
        eventually_now(lambda: found.door.degraded() == [DOOR], within=WITHIN)
        assert found.door.ready()
        client.redis.config_set("min-replicas-to-write", 0)
        eventually_now(lambda: found.door.degraded() == [], within=WITHIN)
        place = client.place()
        client.push(*elements(range(10), place))
        everything_once(found, client, place, 10)


def test_every_element_has_one_row_and_a_receipt_when_redis_is_killed_again_and_again(
    tmp_path: Path, own_redis: LocalServer, nats_url: str, database: str, org: str
) -> None:
    """The door's, and the log's: the same one."""
    url = own_redis.url
    with door_at(tmp_path, url, url, nats_url, database, org) as (found, client):
        place = client.place()
        client.push(*elements(range(4_000), place))
        for receipts in (SOME, 1_500, 3_000):
            eventually_now(lambda receipts=receipts: len(told(client, place)) >= receipts, within=WITHIN)  # type: ignore[misc]
            own_redis.kill()
            own_redis.start()
        everything_once(found, client, place, 4_000)
