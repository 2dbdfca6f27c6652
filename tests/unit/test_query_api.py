"""What query answers, and to whom (contracts.md, "Query"); on stores in memory."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import pytest_asyncio

from functions.query import filtered, handler
from functions.query.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.errors import Unavailable
from shared.domain.principal import Grant
from shared.domain.record import DeadLetter, Record
from shared.domain.revisions import Document, Write
from shared.domain.stored import Search, StoredMessage
from shared.domain.verdict import Shadow
from tests.rest import Api, problem, serving
from tests.stored import NOON, accepted, attempt, flush, taken


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


async def stored(api: Api, *records: Record) -> None:
    await api.store.write(0, [flush(1, *records)])


def text(id: bytes) -> str:
    return str(UUID(bytes=id))


# ---- who may ask ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/messages", f"/v1/messages/{text(bytes(16))}", f"/v1/messages/{text(bytes(16))}/why"])
async def test_answer_is_401_without_a_key_and_403_without_a_grant_to_read(api: Api, path: str) -> None:
    problem(await api.ask(None, path), 401)
    problem(await api.ask("nobody's", path), 401)
    problem(await api.ask(await api.key("shop", "acme", Grant("publish")), path), 403)


async def test_message_is_not_there_when_another_org_asks(api: Api) -> None:
    sent = accepted()
    await stored(api, sent)
    key = await api.key("admin", "globex")
    for path in (f"/v1/messages/{text(sent.message.id)}", f"/v1/messages/{text(sent.message.id)}/why"):
        document = problem(await api.ask(key, path), 404)
        assert document == problem(await api.ask(key, path.replace(text(sent.message.id), text(bytes(16)))), 404) | {
            "detail": document["detail"]
        }
    assert (await api.ask(key, "/v1/messages")).json() == {"items": [], "next": None}


async def test_org_may_be_named_by_a_system_admin_only(api: Api) -> None:
    sent = accepted()
    await stored(api, sent)
    path = f"/v1/messages/{text(sent.message.id)}?org=acme"
    problem(await api.ask(await api.key("admin", "globex"), path), 403)
    system = await api.key("root", "default", system=True)
    assert (await api.ask(system, path)).status_code == 200
    assert len((await api.ask(system, "/v1/messages?org=acme")).json()["items"]) == 1
    problem(await api.ask(system, "/v1/messages?org=ACME"), 400)


async def test_rows_outside_the_grants_are_not_there(api: Api) -> None:
    mine, other_topic, other_subject = accepted("1"), accepted("2", topic="pay.a"), accepted("3", subject="agent-8")
    await stored(api, mine, other_topic, other_subject, accepted("4", subject=None))
    key = await api.key("agent", "acme", Grant("read", ("orders.>",), ("agent-7",)), Grant("publish"))
    assert [item["event_id"] for item in (await api.ask(key, "/v1/messages")).json()["items"]] == ["1"]
    for hidden in (other_topic, other_subject):
        problem(await api.ask(key, f"/v1/messages/{text(hidden.message.id)}"), 404)
        problem(await api.ask(key, f"/v1/messages/{text(hidden.message.id)}/why"), 404)


async def test_answer_says_nothing_of_a_fault_of_ours_and_comes_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(wanted: Search) -> list[StoredMessage]:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(api.store, "search", broken)
    response = await api.ask(await api.key(), "/v1/messages")
    assert "hunter2" not in str(problem(response, 500))


# ---- one message ----------------------------------------------------------------------------------------------------------------


async def test_message_is_found_with_its_deliveries_when_it_was_accepted(api: Api) -> None:
    sent = accepted()
    await stored(api, sent, taken(sent.message))
    answer = (await api.ask(await api.key(), f"/v1/messages/{text(sent.message.id)}")).json()
    assert (answer["id"], answer["verdict"], answer["data"]) == (text(sent.message.id), "accepted", {"sku": "a"})
    assert (answer["earlier"], answer["attempts"]) == ([], 0)
    assert [(one["backbone"], one["sequence"]) for one in answer["deliveries"]] == [("local", 7)]


async def test_newest_attempt_is_shown_when_nothing_was_accepted(api: Api) -> None:
    first, second = attempt(received_at=NOON), attempt(received_at=NOON + 1, rule="max_bytes", status=413)
    await stored(api, first, second)
    answer = (await api.ask(await api.key(), f"/v1/messages/{text(first.message.id)}")).json()
    assert (answer["verdict"], answer["rule"], answer["record_id"]) == ("blocked", "max_bytes", text(second.record_id))
    assert answer["attempts"] == 2


async def test_accepted_row_is_shown_when_attempts_came_before_and_after(api: Api) -> None:
    sent = accepted(received_at=NOON + 1)
    await stored(api, attempt(received_at=NOON), sent, attempt(received_at=NOON + 2))
    answer = (await api.ask(await api.key(), f"/v1/messages/{text(sent.message.id)}")).json()
    assert (answer["verdict"], answer["attempts"]) == ("accepted", 2)


@pytest.mark.parametrize("id", ["1", "x" * 36, "8f14e45f-ceea-8b3a-95e4-61f7ce5a147", "%00", "'%20OR%201=1%20--", "..%2fevents"])
async def test_answer_names_id_when_it_is_no_uuid(api: Api, id: str) -> None:
    response = await api.ask(await api.key(), f"/v1/messages/{id}")
    assert response.status_code in (400, 404), response.text
    if response.status_code == 400:
        problem(response, 400, "id")


@pytest.mark.parametrize(
    ("said", "body", "shown"),
    [
        ("application/json", b'{ "a":1.0 }', "application/json"),
        (None, b"1", "application/json"),
        ("text/html", b"<script>alert(1)</script>", "text/html"),
        ("text/plain; charset=latin1", b"\xff", "text/plain; charset=latin1"),
        ("a\r\nset-cookie: b", b"\x00", "application/octet-stream"),
        ("é", b"x", "application/octet-stream"),
        ("text/plain", None, "text/plain"),
    ],
)
async def test_raw_is_the_body_byte_for_byte_and_harmless_in_a_browser(api: Api, said: str | None, body: bytes | None, shown: str) -> None:
    sent = accepted(datacontenttype=said, body=body)
    await stored(api, sent)
    response = await api.ask(await api.key(), f"/v1/messages/{text(sent.message.id)}?raw=1")
    assert (response.content, response.headers["content-type"]) == (body or b"", shown)
    assert (response.headers["x-content-type-options"], response.headers["content-disposition"]) == ("nosniff", "attachment")
    assert "set-cookie" not in response.headers


# ---- why ------------------------------------------------------------------------------------------------------------------------


async def test_why_tells_each_step_in_order_when_a_message_was_delivered(api: Api) -> None:
    sent = accepted()
    await stored(api, attempt(received_at=NOON - 10), sent, taken(sent.message, error="full"), taken(sent.message, time=NOON + 9000))
    answer = (await api.ask(await api.key(), f"/v1/messages/{text(sent.message.id)}/why")).json()
    told = [(step["step"], step["outcome"]) for step in answer["steps"]]
    refused = [
        ("received", "received"),
        ("constraint", "passed"),
        ("constraint", "passed"),
        ("constraint", "blocked"),
        ("verdict", "blocked"),
    ]
    judged = [*[("constraint", "passed")] * 3, ("constraint", "routed")]
    passed = [("received", "received"), *judged, ("verdict", "accepted"), ("logged", "logged")]
    assert told == [*refused, ("logged", "logged"), *passed, ("delivery", "refused"), ("delivery", "delivered")]
    assert answer["message"]["id"] == answer["id"] == text(sent.message.id)
    assert answer["steps"][0] | {"door": "http", "principal": "shop", "time": "2026-01-01T11:59:59.999990Z"} == answer["steps"][0]
    assert answer["steps"][-1] | {"backbone": "local", "sequence": 7, "by": "door"} == answer["steps"][-1]


async def test_why_says_pending_when_a_backbone_has_not_taken_it(api: Api) -> None:
    sent = accepted(targets=("local", "eu"))
    await stored(api, sent, taken(sent.message))
    last = (await api.ask(await api.key(), f"/v1/messages/{text(sent.message.id)}/why")).json()["steps"][-1]
    assert (last["step"], last["time"], last["outcome"], last["backbone"]) == ("delivery", None, "pending", "eu")


async def test_why_ends_with_the_dead_letter_when_there_was_no_route(api: Api) -> None:
    sent = accepted(targets=())
    await stored(api, sent, DeadLetter("acme", sent.message.id, "", "no-route", 0, NOON + 5))
    last = (await api.ask(await api.key(), f"/v1/messages/{text(sent.message.id)}/why")).json()["steps"][-1]
    assert (last["step"], last["outcome"], last["backbone"], last["time"]) == (
        "dead-letter",
        "no-route",
        None,
        "2026-01-01T12:00:00.000005Z",
    )


RULES = {
    "max_bytes": 100,
    "schema": {"type": "object"},
    "rate_limits": [{"name": "each", "per": ["source"], "rate": 5, "burst": 5}],
    "policies": [
        {"name": "sold-out", "when": 'data.sku == "b"', "reason": "none left"},
        {"name": "far", "when": 'data.sku == "c"', "effect": "route", "to": ["local"]},
        {"name": "new", "when": "true", "mode": "shadow", "reason": "not today"},
    ],
    "routes": [{"when": 'data.sku == "z"', "to": ["local"]}, {"to": ["local"]}],
}
ALL_RULES = ["max_bytes", "org", "grant", "schema", "policy:sold-out", "policy:far", "route", "rate:each"]


async def ruled(api: Api, **changes: object) -> int:
    """The revision that has RULES for org acme."""
    text = json.dumps(RULES | changes).encode()
    return await api.config.write_documents("acme", Write("put", "org", {"org": text}), "test")


async def constraints(api: Api, id: bytes) -> list[dict[str, Any]]:
    answer = (await api.ask(await api.key(), f"/v1/messages/{text(id)}/why")).json()
    return [step for step in answer["steps"] if step["step"] in ("constraint", "shadow")]


async def test_why_lists_every_rule_with_its_text_as_it_was_when_a_message_passed(api: Api) -> None:
    revision = await ruled(api)
    await ruled(api, max_bytes=9, policies=[], schema=True)  # what came later is none of its business
    sent = accepted(revision=revision)
    await stored(api, sent)
    steps = await constraints(api, sent.message.id)
    assert [step["rule"] for step in steps] == ALL_RULES
    assert [step["outcome"] for step in steps] == ["passed"] * 6 + ["routed", "passed"]
    by_rule = {step["rule"]: step for step in steps}
    assert by_rule["max_bytes"]["text"] == 100
    assert by_rule["schema"]["text"] == {"type": "object"}
    assert by_rule["policy:sold-out"]["text"]["when"] == 'data.sku == "b"'
    assert by_rule["route"] | {"pointer": "/routes/1", "to": ["local"], "text": {"to": ["local"]}} == by_rule["route"]
    assert {step["document"] for step in steps if "document" in step} == {"org"}


async def test_why_ends_at_the_rule_that_blocked_and_says_its_reason(api: Api) -> None:
    revision = await ruled(api)
    refused = attempt(rule="policy:sold-out", status=422, revision=revision)
    await stored(api, refused)
    steps = await constraints(api, refused.message.id)
    assert [step["rule"] for step in steps] == ALL_RULES[:5]
    assert steps[-1] | {"outcome": "blocked", "detail": "policy:sold-out says no", "document": "org"} == steps[-1]
    assert steps[-1]["text"]["reason"] == "none left"


async def test_why_says_which_policy_routed_when_one_did(api: Api) -> None:
    revision = await ruled(api)
    sent = accepted(revision=revision, body=b'{"sku":"c"}')
    await stored(api, sent)
    steps = await constraints(api, sent.message.id)
    assert [step["rule"] for step in steps] == [rule for rule in ALL_RULES if rule != "route"]
    assert [step["to"] for step in steps if step["outcome"] == "routed"] == [["local"]]


async def test_why_shows_what_a_shadow_policy_would_have_done(api: Api) -> None:
    revision = await ruled(api)
    sent = msgspec.structs.replace(
        accepted(revision=revision), shadows=(Shadow("new", "block", "not today"), Shadow("gone", "error", "no"))
    )
    await stored(api, sent)
    found = [step for step in await constraints(api, sent.message.id) if step["step"] == "shadow"]
    assert [(step["rule"], step["outcome"], step["detail"]) for step in found] == [
        ("policy:new", "block", "not today"),
        ("policy:gone", "error", "no"),
    ]
    assert found[0]["text"]["when"] == "true"
    assert "text" not in found[1]
    answer = (await api.ask(await api.key(), f"/v1/messages/{text(sent.message.id)}")).json()
    assert [shadow["name"] for shadow in answer["shadows"]] == ["new", "gone"]


async def test_why_leaves_out_a_text_that_is_long_and_says_where_it_is(api: Api) -> None:
    revision = await ruled(api, schema={"enum": ["x" * 5_000]})
    refused = attempt(rule="schema", status=422, revision=revision)
    await stored(api, refused)
    (step,) = [step for step in await constraints(api, refused.message.id) if step["rule"] == "schema"]
    assert "text" not in step
    assert (step["document"], step["outcome"]) == ("org", "blocked")


async def test_why_tells_what_happened_when_the_config_cannot_be_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(org: str, revision: int | None = None) -> dict[str, Document]:
        raise Unavailable("the store is away")

    sent = accepted(revision=await ruled(api))
    await stored(api, sent)
    key = await api.key()
    monkeypatch.setattr(api.config, "documents", away)
    steps = (await api.ask(key, f"/v1/messages/{text(sent.message.id)}/why")).json()["steps"]
    assert [step["rule"] for step in steps if step["step"] == "constraint"] == ["max_bytes", "org", "grant"]


# ---- lists ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        *(
            ("subjet=a", "subjet"),
            ("subject=a&subject=b", "subject"),
            ("raw=1", "raw"),
            ("subject=%00", "subject"),
            ("topic=a.%3E.b", "topic"),
        ),
        *(("topic=", "topic"), ("verdict=maybe", "verdict"), ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit")),
        *(("since=yesterday", "since"), ("until=10000-01-01T00:00:00Z", "until"), ("since=1m&until=2m", "since")),
        *(
            ("filter=1", "filter"),
            ("filter=", "filter"),
            ("filter=data.map(x,x)", "filter"),
            ("cursor=", "cursor"),
            ("cursor=AAAA", "cursor"),
            ("cursor=%F0%9F%92%A9", "cursor"),
        ),
    ],
)
async def test_answer_is_400_naming_the_parameter_that_is_wrong(api: Api, query: str, pointer: str) -> None:
    problem(await api.ask(await api.key(), f"/v1/messages?{query}"), 400, pointer)


async def ids(api: Api, key: str, **asked: str) -> tuple[list[str], str | None]:
    """The event ids of a page, and where the next one begins."""
    answer = await api.ask(key, "/v1/messages", params=asked)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    return [item["event_id"] for item in page["items"]], page["next"]


async def test_messages_are_found_when_the_filter_is_true_of_them(api: Api) -> None:
    bodies = {"1": b'{"total":150}', "2": b'{"total":50}', "3": b'{"total":"many"}', "4": b"{}", "5": b"no JSON", "6": None}
    await stored(api, *(accepted(id, body=body) for id, body in bodies.items()), accepted("1", "globex", body=bodies["1"]))
    key = await api.key()
    for filter, found in {
        "data.total > 100": ["1"],  # of "many", and where there is none, it can't be evaluated
        "has(data.total) && data.total == 50": ["2"],
        "data == null": ["6", "5"],
        f'principal.name == "{accepted().message.principal}" && message.event_id == "4"': ["4"],
        'principal.org == "globex"': [],
        "true": ["6", "5", "4", "3", "2", "1"],
    }.items():
        assert sorted((await ids(api, key, filter=filter))[0]) == sorted(found), filter
    limited = await api.key("reader", "acme", Grant("read", ("pay.>",)))
    assert await ids(api, limited, filter="true") == ([], None)


async def test_pages_go_on_looking_when_a_request_has_looked_at_enough(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await stored(api, *(accepted(str(number), received_at=NOON + number) for number in range(400)))
    monkeypatch.setattr(filtered, "ROWS", 100)
    key, filter = await api.key(), 'message.event_id in ["0", "1", "399"]'
    found: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        page, cursor = await ids(api, key, filter=filter, **({"cursor": cursor} if cursor else {}))
        found += page
        pages += 1
    assert (found, pages) == (["399", "1", "0"], 4)
    assert (await ids(api, key, filter=filter, limit="1"))[0] == ["399"]


async def test_request_ends_when_its_time_is_spent(api: Api) -> None:
    await stored(api, *(accepted(str(number), received_at=NOON + number) for number in range(50)))
    seconds = iter(range(1_000))
    sifted = await filtered.sift(
        api.store, Search(org="acme", readable=(Grant("read"),)), filtered.compiled("false"), lambda: next(seconds) * 0.5
    )
    assert sifted.rows == []
    assert sifted.end is not None
    assert 0 < sifted.end[0] - NOON < 49


async def test_cursor_is_refused_when_another_org_or_query_shows_it(api: Api) -> None:
    await stored(api, accepted("1"), accepted("2"), accepted("1", "globex"), accepted("2", "globex"))
    key = await api.key()
    cursor = (await api.ask(key, "/v1/messages?limit=1&topic=orders.*")).json()["next"]
    assert len((await api.ask(key, f"/v1/messages?topic=orders.*&cursor={cursor}")).json()["items"]) == 1
    problem(await api.ask(key, f"/v1/messages?cursor={cursor}"), 400, "cursor")
    problem(await api.ask(await api.key("admin", "globex"), f"/v1/messages?topic=orders.*&cursor={cursor}"), 400, "cursor")


async def test_page_is_shorter_than_its_limit_when_bodies_are_big(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "PART", 3)
    monkeypatch.setattr(handler, "PAGE_BYTES", 4_000)
    await stored(
        api, *(accepted(str(number), body=b"x" * 1000, datacontenttype="text/plain", received_at=NOON + number) for number in range(10))
    )
    key, pages, cursor = await api.key(), [], ""
    while cursor is not None:
        answer = (await api.ask(key, "/v1/messages" + (f"?cursor={cursor}" if cursor else ""))).json()
        pages.append([item["event_id"] for item in answer["items"]])
        cursor = answer["next"]
    assert pages == [["9", "8", "7", "6", "5", "4"], ["3", "2", "1", "0"]]


async def test_attempts_are_items_with_their_cut_body_as_base64(api: Api) -> None:
    await stored(api, attempt(body=b"text", datacontenttype="text/plain"))
    [item] = (await api.ask(await api.key(), "/v1/messages?verdict=blocked")).json()["items"]
    assert (item["verdict"], base64.b64decode(item["data_base64"])) == ("blocked", b"text")
