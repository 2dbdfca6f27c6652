"""Documents over REST (contracts.md, "Config"): what is written is what is read, under entity tags; on a config store in memory."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from functions.config_crud.effective import effective
from functions.config_crud.main import build, rest
from shared.adapters.memory.config_state import State
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.principal import Grant, Principal
from shared.domain.revisions import Document
from tests.rest import Api, problem, serving

ORG = "/v1/config/org"
TOPIC = "/v1/config/topics/orders.%3E"


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


@pytest.mark.parametrize(
    "path", [ORG, TOPIC, "/v1/config/topics/a.%C3%A9%20b%2Fc.*", "/v1/config/subjects/agent.7", "/v1/config/subjects/*"]
)
async def test_document_is_what_was_put_until_it_is_deleted(api: Api, path: str) -> None:
    admin = await api.key()
    made = await api.ask(admin, path, "PUT", content=b'{ "rate_limits" : [], "max_bytes": 7 }')
    assert (made.status_code, made.text) == (201, '{"max_bytes":7,"rate_limits":[]}')
    read = await api.ask(admin, path)
    assert (read.status_code, read.content, read.headers["etag"]) == (200, made.content, made.headers["etag"])
    assert read.headers["etag"] == f'"{(await api.config.snapshot()).revision}"'
    assert (await api.ask(admin, path, headers={"if-none-match": read.headers["etag"]})).status_code == 304
    assert (await api.ask(admin, path, "PUT", json={})).status_code == 200
    assert (await api.ask(admin, path, "DELETE")).status_code == 204
    for method in ("GET", "DELETE"):
        problem(await api.ask(admin, path, method), 404)


async def test_nothing_becomes_of_a_write_when_the_document_stays_the_same(api: Api) -> None:
    admin = await api.key()
    first = await api.ask(admin, ORG, "PUT", content=b'{"max_bytes":1000,"rate_limits":[]}')
    revision = (await api.config.snapshot()).revision
    again = await api.ask(admin, ORG, "PUT", content=b'{"rate_limits": [], "max_bytes": 1000}')
    patched = await api.ask(admin, ORG, "PATCH", json={"max_bytes": 1000, "schema": None})
    assert [one.status_code for one in (first, again, patched)] == [201, 200, 200]
    assert first.headers["etag"] == again.headers["etag"] == patched.headers["etag"]
    assert (await api.config.snapshot()).revision == revision


async def test_patch_goes_into_what_is_stored(api: Api) -> None:
    admin = await api.key()
    made = await api.ask(admin, ORG, "PATCH", json={"max_bytes": 5, "schema": {"type": "object", "required": ["a"]}})
    assert made.status_code == 201
    merge = {"content-type": "application/merge-patch+json"}
    changed = await api.ask(admin, ORG, "PATCH", json={"max_bytes": None, "schema": {"required": ["b"]}}, headers=merge)
    assert (changed.status_code, changed.json()) == (200, {"schema": {"type": "object", "required": ["b"]}})
    assert changed.headers["etag"] != made.headers["etag"]
    json_patch = {"content-type": "application/json-patch+json"}
    problem(await api.ask(admin, ORG, "PATCH", content=b"[]", headers=json_patch), 415)
    problem(await api.ask(admin, ORG, "PATCH", json=[]), 422, "")


async def test_precondition_guards_every_write(api: Api) -> None:
    admin = await api.key()
    first = (await api.ask(admin, ORG, "PUT", json={}, headers={"if-none-match": "*"})).headers["etag"]
    for method in ("PUT", "PATCH", "DELETE"):
        for condition in (
            {"if-match": '"1"'},
            {"if-match": f"W/{first}"},
            {"if-match": '"x", "0"'},
        ):
            refused = await api.ask(admin, ORG, method, json={"max_bytes": 9}, headers=condition)
            assert problem(refused, 412)["title"] == "Precondition failed"
            assert refused.headers["etag"] == first
    problem(await api.ask(admin, ORG, "PUT", json={}, headers={"if-none-match": "*"}), 412)
    second = await api.ask(admin, ORG, "PUT", json={"max_bytes": 9}, headers={"if-match": f'"1", {first}'})
    assert (second.status_code, (await api.ask(admin, ORG)).headers["etag"]) == (200, second.headers["etag"])
    assert (await api.ask(admin, ORG, "DELETE", headers={"if-match": "*"})).status_code == 204
    for method in ("PUT", "PATCH", "DELETE"):
        gone = await api.ask(admin, ORG, method, json={}, headers={"if-match": "*"})
        problem(gone, 412)
        assert "etag" not in gone.headers


@pytest.mark.parametrize(
    ("header", "value"),
    [("if-match", "42"), ("if-match", ""), ("if-match", '"a" "b"'), ("if-none-match", '"4"'), ("switchboard-reason", "x" * 501)],
)
async def test_answer_names_the_header_that_is_wrong(api: Api, header: str, value: str) -> None:
    problem(await api.ask(await api.key(), ORG, "PUT", json={}, headers={header: value}), 400, header)


async def test_one_of_many_wins_when_all_have_read_the_same(api: Api) -> None:
    admin = await api.key()
    etag = (await api.ask(admin, ORG, "PUT", json={})).headers["etag"]
    writes = [api.ask(admin, ORG, "PUT", json={"max_bytes": 1 + n}, headers={"if-match": etag}) for n in range(10)]
    assert sorted(answer.status_code for answer in await asyncio.gather(*writes)) == [200] + [412] * 9


async def test_every_patch_is_in_when_many_come_at_once(api: Api) -> None:
    admin = await api.key()
    whole: dict[str, Any] = {"max_bytes": 9, "rate_limits": [], "policies": [], "routes": [{"to": ["local"]}]}
    answers = await asyncio.gather(*(api.ask(admin, ORG, "PATCH", json={name: value}) for name, value in whole.items()))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert (await api.ask(admin, ORG)).json() == whole


# ---- bad input ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "nul", '{"max_bytes":1}x', '{"max_bytes":1,"max_bytes":1}', '{"max_bytes":NaN}', '{"max_bytes":-Infinity}'),
        *('{"max_bytes":1e999}', '"\\ud800"', "[" * 100_000, '{"schema":' * 70 + "1" + "}" * 70, '{"max_bytes":' + "9" * 5000 + "}"),
    ],
)
async def test_body_is_refused_when_it_is_not_json(api: Api, body: str) -> None:
    problem(await api.ask(await api.key(), ORG, "PUT", content=body.encode()), 400)


async def test_body_is_refused_when_it_is_not_utf8_or_too_large(api: Api) -> None:
    admin = await api.key()
    problem(await api.ask(admin, ORG, "PUT", content=b'"\xff"'), 400)
    problem(await api.ask(admin, ORG, "PUT", content=b" " * 300_000), 413)


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        *(([], ""), (1, ""), (None, ""), ({"max_bytes": 0}, "/max_bytes"), ({"max_byte": 1}, "/max_byte")),
        ({"rate_limits": [{"name": "a", "per": ["org"], "rate": -1, "burst": 1}]}, "/rate_limits/0/rate"),
        ({"policies": [{"name": "a", "when": "message.nothing == 1"}]}, "/policies/0/when"),
        ({"schema": {"type": "thing"}}, "/schema/type"),
        ({"retention": "9d"}, "/retention"),
    ],
)
async def test_answer_names_the_field_that_does_not_hold(api: Api, document: Any, pointer: str) -> None:
    admin = await api.key()
    before = (await api.config.snapshot()).revision
    problem(await api.ask(admin, TOPIC, "PUT", content=json.dumps(document).encode()), 422, pointer)
    assert (await api.config.snapshot()).revision == before


@pytest.mark.parametrize(
    "path", ["topics/a..b", "topics/a.%3E.b", "topics/", "topics/a*", "subjects/a.*", f"topics/{'a' * 513}", "subjects/"]
)
async def test_answer_names_the_path_when_it_has_no_pattern(api: Api, path: str) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        problem(await api.ask(await api.key(), f"/v1/config/{path}", method, json={}), 422, "/path")


async def test_control_characters_never_get_into_a_path_or_a_reason(api: Api) -> None:
    admin = await api.key()
    problem(await api.ask(admin, "/v1/config/topics/a%00b", "PUT", json={}), 422, "/path")
    problem(
        await api.ask(admin, ORG, "PUT", json={}, headers={"switchboard-reason": "a\x85b".encode("latin-1")}), 400, "switchboard-reason"
    )


# ---- who may do what ------------------------------------------------------------------------------------------------------------


async def test_global_is_for_system_admins(api: Api) -> None:
    root, admin = await api.key("root", "default", system=True), await api.key()
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        problem(await api.ask(admin, "/v1/config/global", method, json={}), 403)
    assert (await api.ask(root, "/v1/config/global", "PUT", json={"max_bytes": 7})).status_code == 201
    assert (await api.ask(root, "/v1/config/global")).json() == {"max_bytes": 7}
    problem(await api.ask(root, "/v1/config/global?org=acme"), 400, "org")


async def test_documents_are_an_orgs_own(api: Api) -> None:
    admin, other = await api.key(), await api.key("admin", "globex")
    await api.ask(admin, TOPIC, "PUT", json={"max_bytes": 1})
    problem(await api.ask(other, TOPIC), 404)
    problem(await api.ask(other, f"{TOPIC}?org=acme"), 403)
    root = await api.key("root", "default", system=True)
    assert (await api.ask(root, f"{TOPIC}?org=acme")).json() == {"max_bytes": 1}
    assert (await api.ask(root, f"{TOPIC}?org=globex", "PUT", json={"max_bytes": 2})).status_code == 201
    assert (await api.ask(other, TOPIC)).json() == {"max_bytes": 2}
    listed = (await api.ask(admin, "/v1/config/documents")).json()["items"]
    assert [(one["path"], one["document"]) for one in listed] == [("topics/orders.>", {"max_bytes": 1})]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_document_makes_no_org_when_a_system_admin_writes_to_one_that_is_not_there(api: Api, method: str) -> None:
    root = await api.key("root", "default", system=True)
    before = await api.config.current()
    problem(await api.ask(root, f"{ORG}?org=typo", method, json={"max_bytes": 2}), 404, "org")
    problem(await api.ask(root, f"{TOPIC}?org=typo", method, json={}), 404, "org")
    assert (await api.config.current(), await api.config.documents("typo")) == (before, {})
    assert (await api.ask(root, f"{ORG}?org=default", method, json={})).status_code == 201


async def test_reader_reads_and_writes_nothing(api: Api) -> None:
    await api.ask(await api.key(), ORG, "PUT", json={})
    reader, publisher = await api.key("reader", "acme", Grant("config:read")), await api.key("shop", "acme", Grant("publish"))
    assert (await api.ask(reader, ORG)).status_code == 200
    for method in ("PUT", "PATCH", "DELETE"):
        problem(await api.ask(reader, ORG, method, json={}), 403)
    problem(await api.ask(publisher, ORG), 403)
    problem(await api.ask(None, ORG), 401)


async def test_grant_goes_as_far_as_its_topics_and_subjects(api: Api) -> None:
    writer = await api.key("clerk", "acme", Grant("config:write", ("orders.>",)), Grant("config:write", (">",), ("agent-7",)))
    for path in ("topics/orders.%3E", "topics/orders.a", "subjects/agent-7"):
        assert (await api.ask(writer, f"/v1/config/{path}", "PUT", json={})).status_code == 201
        assert (await api.ask(writer, f"/v1/config/{path}")).status_code == 200
    for path in ("topics/orders", "topics/%3E", "topics/*.a", "subjects/agent-8", "subjects/*", "org", "documents"):
        problem(await api.ask(writer, f"/v1/config/{path}"), 403)
        if path != "documents":
            problem(await api.ask(writer, f"/v1/config/{path}", "PUT", json={}), 403)


# ---- what holds -----------------------------------------------------------------------------------------------------------------


async def test_effective_says_which_document_gave_each_value(api: Api) -> None:
    root, admin = await api.key("root", "default", system=True), await api.key()
    limit = {"name": "g", "per": ["org"], "rate": 5.0, "burst": 9}
    await api.ask(root, "/v1/config/global", "PUT", json={"max_bytes": 10, "rate_limits": [limit]})
    await api.ask(admin, TOPIC, "PUT", json={"max_bytes": 20})
    await api.ask(admin, "/v1/config/subjects/agent-7", "PUT", json={"routes": [{"to": ["local"]}]})
    found = (await api.ask(admin, "/v1/config/effective?topic=orders.new&subject=agent-7")).json()
    assert (found["topic"], found["subject"]) == ("orders.new", "agent-7")
    assert found["config_revision"] == (await api.config.snapshot()).revision
    assert (found["document"]["max_bytes"], found["document"]["rate_limits"]) == (20, [limit])
    origins = found["origins"]
    assert [origins[at] for at in ("/max_bytes", "/rate_limits/g", "/routes")] == ["topics/orders.>", "global", "subjects/agent-7"]
    elsewhere = (await api.ask(admin, "/v1/config/effective?topic=pay")).json()
    assert (elsewhere["document"]["max_bytes"], elsewhere["origins"]["/max_bytes"]) == (10, "global")
    assert elsewhere["origins"]["/routes"] == "default"
    problem(await api.ask(admin, "/v1/config/effective"), 400, "/topic")
    limited = await api.key("clerk", "acme", Grant("config:read", ("pay",)))
    assert (await api.ask(limited, "/v1/config/effective?topic=pay")).status_code == 200
    problem(await api.ask(limited, "/v1/config/effective?topic=orders.new"), 403)


class Busy(MemoryConfigStore):
    """Config that is changed whenever anybody looks: `global` and the org's document say the same number, one after the other."""

    async def documents(self, org: str, revision: int | None = None) -> dict[str, Document]:
        found = await super().documents(org, revision)
        number = len(await self.revisions(None, 1_000_000)) + 1
        for whose, path in (("acme", "org"), ("", "global")):
            both = json.dumps({"max_bytes": number} if path == "org" else {"retention": f"{number}d"}).encode()
            await self.change(whose, "me", "document.put", path, "", partial(_put, whose, path, both))
        return found


def _put(whose: str, path: str, text: bytes, state: State, revision: int) -> None:
    state.documents[whose, path] = Document(text, revision)


async def test_effective_is_of_one_revision_when_config_is_changed_all_the_time() -> None:
    store, caller = Busy(), Principal("reader", "acme", (Grant("config:read"),))
    await store.documents("acme")
    for _ in range(10):
        found = await effective(store, caller, None, "a", None)
        number = found.document["max_bytes"]
        assert found.document["retention"] == f"{number}d"
        assert json.loads((await store.snapshot(found.revision)).documents["acme"]["org"]) == {"max_bytes": number}


async def test_check_says_what_would_be_said_and_changes_nothing(api: Api) -> None:
    admin = await api.key()
    before = (await api.config.snapshot()).revision
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "topic": "orders.new", "data": {"sku": "a"}}
    document = {"schema": {"required": ["sku"]}, "max_bytes": 20, "routes": [{"to": ["cluster:eu"]}]}
    events = [event, {**event, "data": {}}, {**event, "data": "x" * 30}, {**event, "topic": "pay"}, {"id": 1}]
    body = {"path": "topics/orders.>", "document": document, "events": events}
    found = (await api.ask(admin, "/v1/config/check", "POST", json=body)).json()["verdicts"]
    assert [(one["status"], one["rule"], one["would_route_to"]) for one in found] == [
        ("accepted", None, ["cluster:eu"]),
        ("blocked", "schema", []),
        ("blocked", "max_bytes", []),
        ("accepted", None, ["local"]),
        ("malformed", None, []),
    ]
    assert (await api.config.snapshot()).revision == before
    in_force = (await api.ask(admin, "/v1/config/check", "POST", json={"events": events[1:2]})).json()["verdicts"]
    assert [one["status"] for one in in_force] == ["accepted"]
    await api.config.put_principal(Principal("shop", "acme", (Grant("publish", ("pay",)),)), "test")
    as_shop = (await api.ask(admin, "/v1/config/check", "POST", json={"principal": "shop", "events": [event]})).json()["verdicts"]
    assert as_shop[0]["rule"] == "grant"
    problem(await api.ask(admin, "/v1/config/check", "POST", json={"principal": "nobody", "events": []}), 404)
    problem(await api.ask(admin, "/v1/config/check", "POST", json={"path": "org", "document": {"max_bytes": 0}}), 422, "/max_bytes")
    problem(await api.ask(admin, "/v1/config/check", "POST", json={"path": "org"}), 400, "/document")
    problem(await api.ask(admin, "/v1/config/check", "POST", json={"document": {}}), 400, "/path")


async def test_openapi_has_every_operation_with_its_answers(api: Api) -> None:
    document = rest(api.resources).openapi()
    assert document["components"]["schemas"]["Document"]["properties"].keys() >= {"max_bytes", "policies"}
    assert document["components"]["schemas"]["Document"]["additionalProperties"] is False
    paths = document["paths"]
    assert {"get", "put", "patch", "delete"} == paths["/v1/config/topics/{pattern}"].keys() == paths["/v1/config/global"].keys()
    for path in (
        "revisions",
        "revisions/{number}",
        "diff",
        "rollback",
        "effective",
        "check",
        "snapshot",
        "orgs",
        "orgs/{org}",
        "principals",
    ):
        for method, operation in paths[f"/v1/config/{path}"].items():
            good = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
            assert good, (path, method)
            assert method == "delete" or all("content" in answer for answer in good.values()), (path, method)
    ids = [operation["operationId"] for operations in paths.values() for operation in operations.values()]
    assert len(ids) == len(set(ids))
