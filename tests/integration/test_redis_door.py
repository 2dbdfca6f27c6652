"""The Redis door as it is run: a process on real servers, and clients that know nothing but LPUSH and BLPOP."""

import asyncio
import json
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.postgres import PostgresConfigStore
from shared.domain.principal import Grant, Principal
from tests.corpus import BATCH, BATCHES, SINGLE, STRUCTURED, Case
from tests.integration.fronts import ROOT, environment, new_key
from tests.integration.redis_installs import ORG, Client, Running, event, install
from tests.integration.services import Service, serving
from tests.servers import Databases, LocalServer, RedisDatabases, running
from tests.waiting import eventually_now

ELEMENTS = [case for case in SINGLE if case.content_type == STRUCTURED and not case.headers]
ARRAYS = [case for case in BATCHES if case.content_type == BATCH and not case.headers and case.items]


@pytest.fixture(scope="module")
def up(
    tmp_path_factory: pytest.TempPathFactory,
    redis_databases: RedisDatabases,
    databases: Databases,
    migrated_template: str,
) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("redis-door")
    with ExitStack() as stack:
        nats = stack.enter_context(running("nats", directory / "nats"))
        database = stack.enter_context(databases.temporary(migrated_template))
        url = redis_databases.fresh()
        found = stack.enter_context(install(directory, url, url, nats.url, database))
        stack.enter_context(serving(Service("logger", found.settings, directory)))
        yield found


@pytest.fixture(autouse=True)
def no_rejections(request: pytest.FixtureRequest) -> None:
    """A test that failed leaves no rejection for the next to find."""
    if "up" in request.fixturenames:
        up: Running = request.getfixturevalue("up")
        up.client.redis.delete(up.client.key("rejected"))


def test_receipts_are_the_contracts_when_events_are_pushed_alone_and_in_arrays(up: Running) -> None:
    place = up.client.place()
    events = [event(f"a{number}", replyto=place, subject="agent-7", topic="orders.created") for number in range(4)]
    up.client.push(json.dumps(events[0]).encode(), json.dumps(events[1:3]).encode(), json.dumps(events[3]).encode())
    receipts = up.client.receipts(place, 4)
    assert [receipt["status"] for receipt in receipts] == ["accepted"] * 4
    first = receipts[0]
    assert first.keys() == {"id", "status", "duplicate", "org", "topic", "subject", "config_revision", "deliveries"}
    assert (first["org"], first["topic"], first["subject"], first["duplicate"]) == (ORG, "orders.created", "agent-7", False)
    assert first["deliveries"][0]["stream"] == f"sb-{ORG}"
    sequences = [receipt["deliveries"][0]["sequence"] for receipt in receipts]
    assert sequences == sorted(sequences)
    assert eventually_now(up.client.empty)
    eventually_now(lambda: {("a0", "redis", f"redis:{ORG}", ORG), ("a3", "redis", f"redis:{ORG}", ORG)} <= set(up.accepted()))


def test_same_event_is_a_duplicate_and_another_of_its_identity_a_conflict(up: Running) -> None:
    assert not up.client.sent("b1")["duplicate"]
    assert up.client.sent("b1")["duplicate"]
    refused = up.client.sent("b1", data={"n": 2})
    assert (refused["status"], refused["problem"]["rule"], refused["problem"]["status"]) == ("blocked", "identity", 422)


def test_another_orgs_name_is_refused_when_the_event_claims_it(up: Running) -> None:
    refused = up.client.sent("c1", org="globex")
    assert (refused["status"], refused["problem"]["rule"]) == ("blocked", "org")
    theirs = "sb:receipts:{globex}:x"
    up.client.push(json.dumps(event("c2", replyto=theirs)).encode())
    eventually_now(lambda: any(row[0] == "c2" for row in up.accepted()))
    assert not up.client.redis.exists(theirs)


def test_door_is_held_to_the_grants_that_config_gives_it_while_it_runs(up: Running) -> None:
    async def put(grants: tuple[Grant, ...] | None) -> None:
        config = PostgresConfigStore(up.settings["SWITCHBOARD_DATABASE_URL"])
        try:
            if grants is None:
                await config.delete_principal(ORG, f"redis:{ORG}", "test")
            else:
                await config.put_principal(Principal(f"redis:{ORG}", ORG, grants), "test")
        finally:
            await config.stop()

    asyncio.run(put((Grant("publish", ("orders.>",)),)))
    numbers = iter(range(1000))
    eventually_now(lambda: up.client.sent(f"d{next(numbers)}", topic="pay.now")["status"] == "blocked")
    assert up.client.sent("d-granted", topic="orders.x")["status"] == "accepted"
    asyncio.run(put(None))
    eventually_now(lambda: up.client.sent(f"d{next(numbers)}", topic="pay.now")["status"] == "accepted")


def pointers(entry: dict[str, Any]) -> list[str]:
    return [fault["pointer"] for fault in entry["errors"]]


def with_replyto(case: Case, place: str) -> bytes:
    """The event as it is spelled, with a place for its receipt before all else."""
    return b'{"replyto":' + json.dumps(place).encode() + b"," + case.body[1:]


@pytest.mark.parametrize("case", ELEMENTS, ids=lambda case: case.name)
def test_answer_is_the_corpus_s_when_one_event_is_pushed_among_good_ones(up: Running, case: Case) -> None:
    good, place = up.client.place(), up.client.place()
    body = with_replyto(case, place) if case.status in (403, 413, 422) else case.body
    counted = up.metric("events_accepted_total")
    before, after = (json.dumps(event(f"{case.name}:{where}", replyto=good)).encode() for where in ("before", "after"))
    up.client.push(before, body, after)
    assert [receipt["status"] for receipt in up.client.receipts(good, 2)] == ["accepted"] * 2
    assert up.metric("events_accepted_total") == counted + (3 if case.status == 202 else 2)
    if case.status in (403, 413, 422):
        assert up.client.receipts(place)[0]["problem"]["status"] == case.status
    elif case.status != 202 and case.body != b"[]":  # an empty array has nothing to reject
        entry = up.client.rejected()
        assert case.pointer is None or case.pointer in pointers(entry), entry
    assert not up.client.redis.exists(up.client.key("rejected"))


@pytest.mark.parametrize("case", ARRAYS, ids=lambda case: case.name)
def test_neighbours_are_unharmed_when_an_array_has_a_bad_item(up: Running, case: Case) -> None:
    place = up.client.place()
    up.client.push(case.body, json.dumps(event(f"{case.name}:after", replyto=place)).encode())
    assert up.client.receipts(place)[0]["status"] == "accepted"
    for pointer in (one for one in case.items if one is not None):
        entry = up.client.rejected()
        assert pointer in pointers(entry)
        assert "of the array: " in entry["reason"]
    assert not up.client.redis.exists(up.client.key("rejected"))


def test_huge_element_is_one_reject_and_its_neighbours_are_taken(up: Running) -> None:
    place = up.client.place()
    up.client.push(b"[" + b"1" * 9_000_000, json.dumps(event("huge-after", replyto=place)).encode())
    assert up.client.receipts(place)[0]["status"] == "accepted"
    entry = up.client.rejected()
    assert (entry["bytes"], entry["cut"]) == (9_000_001, True)
    assert "8 MiB are allowed" in entry["reason"]


def test_key_that_is_no_list_is_one_reject_and_the_door_goes_on_when_it_is_removed(up: Running) -> None:
    eventually_now(up.client.empty)
    up.client.redis.set(up.client.key("submit"), "hello")
    assert up.client.rejected()["reason"] == "the submit key holds a string, not a list: remove it"
    eventually_now(lambda: up.door.degraded() == [])
    up.client.redis.delete(up.client.key("submit"))
    assert up.client.sent("after-wrong-type")["status"] == "accepted"
    assert not up.client.redis.exists(up.client.key("rejected"))


def test_orgs_list_is_served_when_the_org_was_made_while_the_door_runs(up: Running) -> None:
    other = Client(up.door_url, "late")
    place = other.place()
    other.push(json.dumps(event("late", replyto=place)).encode())
    asyncio.run(new_key(up.settings["SWITCHBOARD_DATABASE_URL"], "late", "admin"))
    assert other.receipts(place)[0]["org"] == "late"


def test_receipt_comes_when_readmes_example_is_run(up: Running) -> None:
    asyncio.run(new_key(up.settings["SWITCHBOARD_DATABASE_URL"], "default", "admin"))
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("    redis-cli")]
    push, pop = (shlex.split(line.removeprefix('redis-cli -u "$REDIS_URL" ')) for line in lines)
    up.client.redis.execute_command(*push)
    _, receipt = up.client.redis.execute_command(*pop[:-1], 30)  # a person's machine has nothing else to do
    assert json.loads(receipt)["status"] == "accepted"


def test_what_the_door_did_is_in_its_metrics(up: Running) -> None:
    taken, rejected = up.metric("redis_door_taken"), up.metric("redis_door_rejected")
    up.client.push(b"no event")
    up.client.sent("metric")
    assert up.metric("redis_door_taken") == taken + 2
    assert up.metric("redis_door_rejected") == rejected + 1


def test_elements_wait_and_none_is_lost_when_the_log_is_away(
    tmp_path: Path, own_redis: LocalServer, redis_url: str, nats_url: str, database: str, org: str
) -> None:
    with install(tmp_path, own_redis.url, redis_url, nats_url, database, org) as found:
        client = Client(redis_url, org)
        assert client.sent("before")["status"] == "accepted"
        own_redis.kill()
        place = client.place()
        client.push(*(json.dumps(event(f"away-{number}", replyto=place)).encode() for number in range(100)))
        eventually_now(lambda: "log" in found.door.degraded())
        assert not client.redis.exists(place)
        own_redis.start()
        receipts = client.receipts(place, 100, within=30)
        assert {receipt["status"] for receipt in receipts} == {"accepted"}
        sequences = [receipt["deliveries"][0].get("sequence", 0) for receipt in receipts]
        assert sequences == sorted(sequences)


def test_another_worker_goes_on_when_one_is_killed_and_nothing_stays_behind_when_one_is_stopped(
    tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str
) -> None:
    with install(tmp_path, redis_url, redis_url, nats_url, database, org) as found:
        client, second = Client(redis_url, org), Service("redis_source", found.settings, tmp_path)
        with serving(second):
            place = client.place()
            client.push(*(json.dumps(event(f"k{number}", replyto=place)).encode() for number in range(5_000)))
            client.receipts(place, 50)
            found.door.kill()
            ids = {receipt["id"] for receipt in client.receipts(place, 4_950, within=30)}
            assert len(ids) > 4_000  # a receipt may come twice, after a kill
            eventually_now(client.empty)
            found.door.start()
        assert client.sent("after")["status"] == "accepted"
    assert client.redis.keys("sb:door:*") in ([], [f"sb:door:{{{org}}}:receipts".encode()])


def test_sink_gets_every_event_with_its_principal_when_there_is_one(
    tmp_path: Path, redis_url: str, redis_databases: RedisDatabases, nats_url: str, database: str, org: str
) -> None:
    """The sink is ingest itself, which believes the proof."""
    lists = redis_databases.fresh()
    settings = environment(tmp_path, redis_url, nats_url, database)
    ingest, logger = Service("ingest", settings, tmp_path), Service("logger", settings, tmp_path)
    with (
        serving(ingest, logger),
        install(
            tmp_path,
            redis_url,
            lists,
            nats_url,
            database,
            org,
            K_SINK=f"{ingest.url}/v1/events",
            K_CE_OVERRIDES='{"extensions":{"team":"eu"}}',
        ) as found,
    ):
        client = Client(lists, org)
        client.push(*(json.dumps(event(f"s{number}", subject="ä b", topic="orders.x")).encode() for number in range(20)))
        client.push(json.dumps(event("s-blocked", org="globex")).encode(), b"not json")
        eventually_now(lambda: len(found.accepted()) == 20)
        assert {row[2] for row in found.accepted()} == {f"redis:{org}"}
        reasons = [client.rejected()["reason"] for _ in range(2)]
        assert "the sink answered 403" in reasons[0]
        assert reasons[1].startswith("the event: is not JSON")
        ingest.kill()
        client.push(json.dumps(event("s-later")).encode())
        eventually_now(lambda: "sink" in found.door.degraded())
        ingest.start()
        eventually_now(lambda: len(found.accepted()) == 21)
        eventually_now(client.empty)
