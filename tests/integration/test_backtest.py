"""Backtests on a real store and in a real child: they agree with judging one by one, and stop when nobody listens."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import msgspec
import psutil
import psycopg
import pytest
import pytest_asyncio

from functions.config_crud.main import build
from shared.domain.principal import Grant, Principal
from shared.domain.record import Attempt
from shared.domain.rules.check import judge
from shared.domain.rules.limits import Limits
from shared.domain.rules.rules import Rules
from shared.domain.uuid7 import uuid7
from tests.rest import Api, problem, serving_on
from tests.stored import NOON, accepted, flush, message
from tests.waiting import eventually

PATH = "/v1/config/backtest"
ALL = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
STRICT = {
    "max_bytes": 60,
    "schema": {"required": ["n"]},
    "rate_limits": [{"name": "each", "per": ["source"], "rate": 40, "burst": 50}],
    "policies": [{"name": "few", "when": "data.n % 7 == 3", "reason": "no"}],
}


@pytest_asyncio.fixture
async def api(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving_on(database, build, tmp_path) as served:
        yield served


def records(count: int, start: int = 0) -> list[Any]:
    """Traffic of four sources and two topics, 1,000 a second, a tenth of it refused before."""
    made: list[Any] = []
    for number in range(start, start + count):
        body = json.dumps({"n": number, "pad": "x" * (number % 50)} if number % 11 else {"m": number}).encode()
        topic, source = ("orders.new", "pay")[number % 3 == 0], f"/s{number % 4}"
        attributes: dict[str, Any] = {"topic": topic, "source": source, "body": body, "received_at": NOON + number * 1_000}
        if number % 10 == 9:
            made.append(Attempt(uuid7(), message(str(number), **attributes), False, 422, "policy:old", "no"))
        else:
            made.append(accepted(str(number), **attributes))
    return made


async def fill(api: Api, count: int) -> list[Any]:
    written = records(count)
    for start in range(0, count, 10_000):
        await api.store.write(0, [flush(1 + start, *written[start : start + 10_000])])
    return written


def one_by_one(written: list[Any], documents: dict[str, Any]) -> tuple[Counter[str], set[tuple[str, str, str]]]:
    """Each record judged by itself, in order of its time, as check would: what flips, by rule, and each flip."""
    rules = Rules({"acme": {path: json.dumps(document).encode() for path, document in documents.items()}})
    limits, found, flips = Limits(), Counter[str](), set()
    for record in sorted(written, key=lambda record: record.message.received_at):
        one = record.message
        principal = Principal(one.principal, "acme", (Grant("publish"),))
        blocked = judge(one, principal, rules.scope("acme", one.topic, one.subject), limits, one.received_at / 1e6).blocked
        was = "blocked" if isinstance(record, Attempt) else "accepted"
        now = "accepted" if blocked is None else "blocked"
        if was != now:
            rule = record.rule if blocked is None else blocked.rule
            found[str(rule)] += 1
            flips.add((one.event_id, was, now))
    return found, flips


async def test_backtest_agrees_with_judging_one_by_one_over_100_000_messages(api: Api) -> None:
    written = await fill(api, 100_000)
    admin = await api.key()
    began = monotonic()
    answer = await api.ask(admin, PATH, "POST", json={"path": "org", "document": STRICT, **ALL}, timeout=120)
    took = monotonic() - began
    told = answer.json()
    by_rule, _ = one_by_one(written, {"org": STRICT})
    assert (told["examined"], told["unknown"], told["next"]) == (100_000, 0, None)
    assert told["flips"]["by_rule"] == dict(by_rule)
    assert told["flips"]["count"] == by_rule.total()
    assert len(told["flips"]["first"]) == 100
    assert took < 60


async def test_only_messages_the_document_is_for_are_examined_and_nothing_live_changes(api: Api) -> None:
    written = await fill(api, 1_000)
    admin = await api.key()
    before = await api.config.current()
    asked = {"path": "topics/orders.>", "document": STRICT, **ALL}
    told = (await api.ask(admin, PATH, "POST", json=asked)).json()
    orders = [record for record in written if record.message.topic == "orders.new"]
    by_rule, _ = one_by_one(orders, {"topics/orders.>": STRICT})
    assert (told["examined"], told["flips"]["by_rule"]) == (len(orders), dict(by_rule))
    assert await api.config.current() == before
    assert (await api.ask(admin, "/v1/config/topics/orders.%3E")).status_code == 404
    limits = await api.resources.limits()
    assert len(limits) == 0


async def test_parts_make_the_whole_when_it_goes_on_behind_a_cursor(api: Api) -> None:
    await fill(api, 2_500)
    admin = await api.key()
    document = {"schema": {"required": ["n"]}}
    whole = (await api.ask(admin, PATH, "POST", json={"path": "org", "document": document, **ALL})).json()
    examined, flips, asked = 0, 0, {"path": "org", "document": document, "limit": 700, **ALL}
    while True:
        told = (await api.ask(admin, PATH, "POST", json=asked)).json()
        examined, flips = examined + told["examined"], flips + told["flips"]["count"]
        if told["next"] is None:
            break
        asked["cursor"] = told["next"]
    assert (examined, flips) == (whole["examined"], whole["flips"]["count"]) == (2_500, flips)


async def test_progress_comes_in_lines_when_asked_for(api: Api) -> None:
    await fill(api, 2_500)
    answer = await api.ask(
        await api.key(), PATH, "POST", json={"path": "org", "document": {}, **ALL}, headers={"accept": "application/x-ndjson"}
    )
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [line["examined"] for line in lines] == [1_000, 2_000, 2_500, 2_500]
    assert lines[-1]["next"] is None


async def test_reader_sees_only_what_it_may_read(api: Api) -> None:
    await fill(api, 300)
    narrow = await api.key("narrow", "acme", Grant("config:read"), Grant("read", ("pay",)))
    told = (await api.ask(narrow, PATH, "POST", json={"path": "org", "document": {"max_bytes": 1}, **ALL})).json()
    assert told["examined"] == 100
    blind = await api.key("blind", "acme", Grant("config:read"))
    problem(await api.ask(blind, PATH, "POST", json={"path": "org", "document": {}, **ALL}), 403)
    other = await api.key("admin", "globex")
    told = (await api.ask(other, PATH, "POST", json={"path": "org", "document": {"max_bytes": 1}, **ALL})).json()
    assert told["examined"] == 0


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"path": "org"}, 400, "/document"),
        ({"document": {}}, 400, "/path"),
        ({"path": "orgs", "document": {}}, 422, "/path"),
        ({"path": "org", "document": {"max_bytes": 0}}, 422, "/max_bytes"),
        ({"path": "org", "document": {"policies": [{"name": "a", "when": "1 +"}]}}, 422, "/policies/0/when"),
        ({"path": "org", "document": {}, "since": "yesterday"}, 400, "/since"),
        ({"path": "org", "document": {}, "since": "1m", "until": "2m"}, 400, "/since"),
        ({"path": "org", "document": {}, "limit": 0}, 400, "/limit"),
        ({"path": "org", "document": {}, "limit": 1_000_001}, 400, "/limit"),
        ({"path": "org", "document": {}, "cursor": "' OR 1=1"}, 400, "/cursor"),
        ({"path": "org", "document": {}, "more": 1}, 400, "/more"),
    ],
)
async def test_answer_names_the_field_when_the_body_is_wrong(api: Api, body: dict[str, Any], status: int, pointer: str) -> None:
    problem(await api.ask(await api.key(), PATH, "POST", json=body), status, pointer)


async def test_third_backtest_waits_for_its_turn_when_two_run(api: Api) -> None:
    await fill(api, 3_000)
    admin = await api.key()
    asked = {"path": "org", "document": STRICT, **ALL}
    answers = await asyncio.gather(*(api.ask(admin, PATH, "POST", json=asked) for _ in range(4)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert set(statuses) <= {200, 429}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)
    assert (await api.ask(admin, PATH, "POST", json=asked)).status_code == 200


async def test_child_ends_when_the_client_goes(api: Api) -> None:
    """The stream is left after its first line: the child is gone, and there is a place for the next."""
    await fill(api, 20_000)
    admin = await api.key()
    asked = msgspec.json.encode({"path": "org", "document": STRICT, **ALL})
    headers = [(b"authorization", f"Bearer {admin}".encode()), (b"accept", b"application/x-ndjson"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "headers": headers}
    gone = asyncio.Event()
    sent: list[dict[str, Any]] = []
    given = iter([{"type": "http.request", "body": asked, "more_body": False}])

    async def receive() -> dict[str, Any]:
        if (event := next(given, None)) is not None:
            return event
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)
        if event.get("body"):
            gone.set()
            await asyncio.sleep(0)

    edge = api.client._transport.app  # type: ignore[attr-defined]
    await edge({**scope, "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("front", 80)}, receive, send)
    lines = [event for event in sent if event.get("body")]
    assert 1 <= len(lines) < 20
    await eventually(lambda: not [one for one in psutil.Process().children() if "shared.backtest" in " ".join(one.cmdline())])


async def test_answer_is_503_when_judging_takes_more_than_there_is(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(api, 1_000)
    monkeypatch.setattr("shared.backtest.PAGE_SECONDS", 0.0)
    answer = await api.ask(await api.key(), PATH, "POST", json={"path": "org", "document": STRICT, **ALL})
    assert "shorter time" in problem(answer, 503)["detail"]


async def test_scan_reads_by_an_index_and_not_all_of_it(api: Api, database: str) -> None:
    """A page of the oldest is read in order, not sorted out of everything."""
    await fill(api, 20_000)
    with psycopg.connect(database) as connection:
        connection.execute("ANALYZE messages")
        plan = connection.execute(
            "EXPLAIN SELECT record_id FROM messages AS m WHERE m.org = 'acme' AND m.received_at >= '2026-01-01'"
            " ORDER BY m.received_at, m.record_id LIMIT 1000"
        ).fetchall()
    assert "Sort" not in str(plan)
    assert httpx.codes.is_success((await api.ask(await api.key(), "/v1/config/effective?topic=a")).status_code)
