"""Config on real servers: a front and config-crud as a Service on one store; races, a thousand documents, and what the database keeps."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
import pytest_asyncio

from functions.config_crud.main import build
from shared.domain.principal import Grant
from shared.domain.record import DeadLetter
from shared.domain.request_proof import HEADER, prove_request
from shared.domain.revisions import MAX_DOCUMENTS, Write
from shared.domain.snapshot import Snapshot
from shared.domain.stored import Search
from tests.integration.fronts import FrontProcess, environment, fronting
from tests.integration.services import Service
from tests.rest import Api, problem, serving_on
from tests.servers import Databases, RedisDatabases
from tests.stored import NOON, accepted, attempt, flush, taken
from tests.waiting import eventually_now

SECRET = b"s" * 48
DAY_S = 86_400
RULES = {"policies": [{"name": "no-night", "when": 'message.topic == "pay" && now.getHours() < 6'}], "schema": {"type": "object"}}


@pytest_asyncio.fixture
async def api(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving_on(database, build, tmp_path) as served:
        yield served


# ---- on PostgreSQL, in this process ---------------------------------------------------------------------------------------------


async def test_rollbacks_and_writes_are_one_after_the_other_when_they_come_at_once(api: Api) -> None:
    admin = await api.key()
    states = []
    for number in range(3):
        for name in "ab":
            made = await api.ask(admin, f"/v1/config/topics/{name}", "PUT", json={"max_bytes": 1 + number})
        states.append(int(made.headers["etag"].strip('"')))
    rollbacks = [api.ask(admin, "/v1/config/rollback", "POST", json={"to": to}) for to in states * 2]
    writes = [api.ask(admin, f"/v1/config/topics/{name}", "PUT", json={"max_bytes": 100 + n}) for n, name in enumerate("abcd")]
    answers = await asyncio.gather(*rollbacks, *writes)
    assert {answer.status_code for answer in answers} <= {200, 201, 503}
    done = [answer.json() for answer in answers[: len(rollbacks)] if answer.status_code == 200]
    assert done
    for told in done:
        if told["revision"] is not None:
            wanted, found = await api.config.documents("acme", told["to"]), await api.config.documents("acme", told["revision"])
            assert {path: one.text for path, one in found.items()} == {path: one.text for path, one in wanted.items()}


async def test_rollback_is_all_or_nothing_when_it_is_refused_by_the_store(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await api.key()
    for name in "abc":
        made = await api.ask(admin, f"/v1/config/topics/{name}", "PUT", json={"max_bytes": 1})
    good = int(made.headers["etag"].strip('"'))
    for name in "abc":
        await api.ask(admin, f"/v1/config/topics/{name}", "DELETE")
    before = await api.config.snapshot()
    monkeypatch.setattr("shared.domain.revisions.MAX_DOCUMENTS", 2)
    problem(await api.ask(admin, "/v1/config/rollback", "POST", json={"to": good}), 422)
    assert await api.config.snapshot() == before


async def test_snapshot_of_a_thousand_documents_is_read_within_a_tenth_of_a_second(api: Api, org: str) -> None:
    """Of this process's time: how long the server takes depends on who else is at work on the machine."""
    text = msgspec.json.encode({"schema": {"type": "object", "description": "x" * 2_000}})
    many = {f"topics/orders.{number}.>": text for number in range(MAX_DOCUMENTS)}
    revision = await api.config.write_documents(org, Write("document.put", "many", many), "test")
    taken = []
    for _ in range(5):
        began = time.process_time()
        snapshot = await api.config.snapshot()
        taken.append(time.process_time() - began)
    assert (snapshot.revision, len(snapshot.documents[org])) == (revision, MAX_DOCUMENTS)
    assert min(taken) < 0.1, taken
    problem(await api.ask(await api.key("admin", org), "/v1/config/org", "PUT", json={}), 422)


async def test_what_a_deleted_org_left_goes_when_its_own_retention_is_over(api: Api, org: str) -> None:
    """Its word about that is all that stays of its documents; what others keep longer stays."""
    root, keeper = await api.key("root", f"{org}-root", system=True), f"{org}-keeps"
    for name, kept in ((org, "7d"), (keeper, "3650d")):
        assert (await api.ask(root, f"/v1/config/orgs/{name}", "PUT", json={})).status_code == 201
        await api.config.write_documents(name, Write("document.put", "org", {"org": json.dumps({"retention": kept}).encode()}), "test")
    left, others = accepted(org=org), accepted(org=keeper)
    buried = DeadLetter(org, left.message.id, "local", "refused", 8, NOON)
    await api.store.write(0, [flush(1, left, others, attempt("2", org), taken(left.message), buried)])
    assert (await api.ask(root, f"/v1/config/orgs/{org}", "DELETE")).status_code == 204
    retention = (await api.config.snapshot()).rules.retention
    assert (retention.of(org), retention.of(keeper)) == (7 * DAY_S, 3_650 * DAY_S)

    async def rows(whose: str) -> int:
        return len(await api.store.search(Search(org=whose, readable=(Grant("read"),), limit=10)))

    assert await api.store.expire(retention, NOON + 6 * DAY_S * 1_000_000, 100) == 0
    assert (await rows(org), await rows(keeper)) == (2, 1)
    while await api.store.expire(retention, NOON + 8 * DAY_S * 1_000_000, 100):
        pass
    assert (await rows(org), await rows(keeper)) == (0, 1)
    assert await api.store.history(org, left.message.id) is None
    listed = (await api.ask(root, f"/v1/config/orgs/{org}")).json()
    assert listed["deleted"] is not None  # its name isn't anybody else's even then


async def test_who_did_what_is_in_the_audit_with_both_revisions(api: Api, database: str) -> None:
    admin = await api.key()
    made = await api.ask(admin, "/v1/config/org", "PUT", json={}, headers={"switchboard-reason": "why"})
    revision = int(made.headers["etag"].strip('"'))
    await api.ask(admin, "/v1/config/org", "DELETE")
    await api.ask(admin, "/v1/config/rollback", "POST", json={"to": revision})
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT org, principal, action, path, revision_before, revision_after, reason FROM audit "
            "WHERE action LIKE 'document.%' ORDER BY revision_after"
        ).fetchall()
    assert rows == [
        ("acme", "admin", "document.put", "org", revision - 1, revision, "why"),
        ("acme", "admin", "document.delete", "org", revision, revision + 1, ""),
        ("acme", "admin", "document.rollback", "rollback", revision + 1, revision + 2, f"rollback to {revision}"),
    ]


async def test_state_is_forgotten_a_day_after_it_ended_and_revoked_keys_with_it(api: Api, database: str) -> None:
    key = await api.key("shop", "acme")
    old = (await api.config.snapshot()).revision
    await api.config.write_documents("acme", Write("document.put", "org", {"org": b'{"max_bytes":1}'}), "test")
    await api.config.delete_principal("acme", "shop", "test")
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE config_revisions SET time = time - interval '25 hours'")
    await api.config.write_documents("acme", Write("document.put", "org", {"org": b"{}"}), "test")
    with pytest.raises(Exception, match="over a day ago"):
        await api.config.snapshot(old)
    assert (await api.config.documents("acme", old + 1))["org"].text == b'{"max_bytes":1}'  # for diff and rollback, whenever
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM config_versions WHERE kind = 'key'").fetchone() == (0,)
    assert key


# ---- as processes ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[tuple[FrontProcess, Service]]:
    """A front and a config-crud of its own on one store."""
    directory = tmp_path_factory.mktemp("pair")
    with databases.temporary(migrated_template) as database:
        settings = environment(directory, redis_databases.fresh(), nats_url, database)
        crud = Service("config_crud", settings | {"SWITCHBOARD_STATE_DIR": str(directory / "crud")}, directory)
        with fronting(directory, settings, "acme") as front:
            crud.start()
            try:
                yield front, crud
            finally:
                crud.stop()


def test_document_with_rules_is_tried_and_published_over_http(pair: tuple[FrontProcess, Service]) -> None:
    front, _ = pair
    made = front.client.put("/v1/config/topics/a%2Fb.%3E", json=RULES)
    assert made.status_code in (200, 201), made.text
    assert front.client.get("/v1/config/topics/a%2Fb.%3E").json() == RULES
    refused = front.client.put("/v1/config/org", json={"policies": [{"name": "a", "when": "message.topic =="}]})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/policies/0/when")
    paths = front.client.get("/openapi.json").json()
    assert "Document" in paths["components"]["schemas"]
    assert "put" in paths["paths"]["/v1/config/subjects/{pattern}"]


def test_change_through_one_process_ends_the_long_poll_at_another_within_a_second(pair: tuple[FrontProcess, Service]) -> None:
    front, crud = pair

    def ask(query: str, **headers: str) -> httpx.Response:
        target = f"/v1/config/snapshot{query}"
        proof = {HEADER: prove_request(SECRET, "GET", target, int(time.time()))}
        return httpx.get(f"{crud.url}{target}", headers=proof | headers, timeout=30)

    sizes = itertools.count(100_000)  # each another document, which lets everybody else's events in

    async def poll_and_change() -> tuple[httpx.Response, float]:
        before = await asyncio.to_thread(lambda: front.client.put("/v1/config/subjects/before", json={"max_bytes": 9}).headers["etag"])
        known = await asyncio.to_thread(ask, "")
        while msgspec.msgpack.decode(known.content, type=Snapshot).revision < int(before.strip('"')):  # what came earlier ends no poll
            known = await asyncio.to_thread(ask, "?wait=5", **{"if-none-match": known.headers["etag"]})
        etag = known.headers["etag"]
        poll = asyncio.create_task(asyncio.to_thread(ask, "?wait=20", **{"if-none-match": etag}))
        await asyncio.wait([poll], timeout=0.2)
        made = await asyncio.to_thread(lambda: front.client.put("/v1/config/org", json={"max_bytes": next(sizes)}))
        assert made.status_code in (200, 201)
        began = time.monotonic()
        return await poll, time.monotonic() - began

    taken = []
    for _ in range(6):  # a busy machine may take longer, never each time
        answer, seconds = asyncio.run(poll_and_change())
        assert answer.status_code == 200
        taken.append(seconds)
        if seconds <= 1.0:
            break
    snapshot = msgspec.msgpack.decode(answer.content, type=Snapshot)
    assert b"max_bytes" in snapshot.documents["acme"]["org"]
    assert min(taken) <= 1.0, taken
    assert httpx.get(f"{crud.url}/v1/config/snapshot", timeout=10).status_code == 401


def test_others_are_answered_while_events_that_take_long_are_checked(pair: tuple[FrontProcess, Service]) -> None:
    front, _ = pair
    loop = {"mode": "shadow", "when": "data.lines.all(l, data.lines.all(m, m.price + l.price >= 0))"}  # milliseconds an event
    document = {"policies": [{**loop, "name": f"slow-{number}"} for number in range(3)]}
    assert front.client.put("/v1/config/topics/slow", json=document).is_success
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "slow", "data": {"lines": [{"price": n} for n in range(90)]}}
    with ThreadPoolExecutor(1) as others, httpx.Client(base_url=front.url, timeout=60) as other:
        checking = others.submit(front.client.post, "/v1/config/check", json={"events": [event] * 100}, timeout=60)
        answered = 0
        while not checking.done():
            assert other.get("/readyz").status_code == 200
            answered += not checking.done()
        answer = checking.result()
    assert answer.status_code == 200, answer.text
    verdicts = answer.json()["verdicts"]
    assert [shadow["outcome"] for shadow in verdicts[-1]["shadows"]] == ["block"] * 3
    assert answered >= 10  # it took seconds; in the front's own process it would have been the first of all


def test_command_comes_as_an_event_to_the_service_itself(pair: tuple[FrontProcess, Service]) -> None:
    front, crud = pair
    event: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "switchboard.config.put", "subject": "topics/events"}
    headers = {"content-type": "application/cloudevents+json", "prefer": "reply"}
    body = json.dumps(event | {"data": {"document": {"max_bytes": 9}}})
    answer = httpx.post(crud.url, content=body, headers=headers | front.bearer, timeout=20)
    assert (answer.status_code, answer.headers["ce-type"]) == (200, "switchboard.config.changed"), answer.text
    assert front.client.get("/v1/config/topics/events").json() == {"max_bytes": 9}
    assert httpx.post(crud.url, content=body, headers=headers, timeout=20).status_code == 401
    proofs = {"ce-sbproof": "0" * 64, "ce-sbprincipal": "acme/tester"}
    binary = {f"ce-{name}": value for name, value in event.items()} | {"content-type": "application/json"}
    forged = httpx.post(crud.url, content=b'{"document":{"max_bytes":1}}', headers=binary | proofs, timeout=20)
    assert forged.status_code == 401
    assert front.client.get("/v1/config/topics/events").json() == {"max_bytes": 9}
    refused = httpx.post(crud.url, content=json.dumps(event | {"data": {"document": []}}), headers=headers | front.bearer, timeout=20)
    assert (refused.status_code, refused.headers["ce-type"]) == (200, "switchboard.config.refused")
    taken = eventually_now(lambda: front.client.get("/v1/config/revisions?path=topics/events").json()["items"])
    assert [one["action"] for one in taken] == ["document.put"]
