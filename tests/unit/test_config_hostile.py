"""Bad input to config (reliability.md, "everywhere" and "config"): a clear error that names the field, and nothing of it is kept."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from functions.config_crud.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.config.document import Buffer, Document, RateLimit, Retry
from tests.rest import Api, problem, serving

BODIES = (
    *("PUT org", "PATCH org", "PUT topics/a", "POST check", "POST backtest", "POST rollback"),
    *("PUT principals/shop", "PUT issuers/idp", "PUT orgs/globex"),
)
NOT_JSON = {
    "nul": b"\0",
    "bom": b"\xef\xbb\xbf{}",
    "utf-16": "{}".encode("utf-16"),
    "utf-8": b'{"\xff":1}',
    "surrogate": b'{"a":"\\ud800"}',
    "nan": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "overflow": b'{"a":1e400}',
    "digits": b'{"a":' + b"9" * 5_000 + b"}",
    "twice": b'{"a":1,"a":1}',
    "deep": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "nested": b"[" * 100_000,
    "more": b"{}{}",
}


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


@pytest.mark.parametrize("what", BODIES)
async def test_body_that_is_no_json_is_malformed_everywhere_and_changes_nothing(api: Api, what: str) -> None:
    root = await api.key("root", "acme", system=True)
    before = (await api.config.snapshot()).revision
    method, _, path = what.partition(" ")
    for name, body in NOT_JSON.items():
        told = problem(await api.ask(root, f"/v1/config/{path}", method, content=body), 400)
        assert told["errors"], name
    problem(await api.ask(root, f"/v1/config/{path}", method, content=b" " * (256 * 1024 + 1)), 413)
    assert (await api.config.snapshot()).revision == before


@pytest.mark.parametrize("name", NOT_JSON)
async def test_command_is_malformed_when_its_data_is_no_json(api: Api, name: str) -> None:
    admin = await api.key()
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "switchboard.config.put", "ce-subject": "org"}
    answer = await api.ask(admin, "/", "POST", content=NOT_JSON[name], headers=headers | {"content-type": "application/json"})
    assert problem(answer, 400)["errors"]


BOUNDED = {
    "": Document,
    "/rate_limits/0": RateLimit,
    "/buffer": Buffer,
    "/retry": Retry,
}
LIMIT = {"name": "a", "per": [], "rate": 1, "burst": 1}


def bounds() -> Iterator[tuple[str, float, bool]]:
    """The pointer of each number a document has, a value at or beyond its edge, and whether that holds."""
    for at, kind in BOUNDED.items():
        for field in msgspec.json.schema_components([kind])[1][kind.__name__]["properties"].items():
            name, schema = field
            whole = schema.get("type") == "integer"
            step = 1 if whole else 1e-9
            if "minimum" in schema:
                yield from ((f"{at}/{name}", schema["minimum"], True), (f"{at}/{name}", schema["minimum"] - step, False))
            if "exclusiveMinimum" in schema:
                yield from ((f"{at}/{name}", 5e-324, True), (f"{at}/{name}", schema["exclusiveMinimum"], False))
            if "maximum" in schema:
                yield from ((f"{at}/{name}", schema["maximum"], True), (f"{at}/{name}", schema["maximum"] + max(step, 1), False))
                yield from ((f"{at}/{name}", number, False) for number in (-1, 2**63 - 1, 2**63, 2**63 + 1, 2**64, 1e308))


def with_number(pointer: str, number: float) -> dict[str, Any]:
    """A document that has the number at the pointer."""
    *way, name = pointer.split("/")[1:]
    if not way:
        return {name: number}
    if way[0] == "rate_limits":
        return {"rate_limits": [{**LIMIT, name: number}]}
    return {way[0]: {name: number} | ({"max_ms": 86_400_000} if name == "initial_ms" else {"initial_ms": 1} if name == "max_ms" else {})}


@pytest.mark.parametrize(("pointer", "number", "holds"), sorted(bounds()))
async def test_number_holds_at_its_bound_and_is_named_beyond(api: Api, pointer: str, number: float, holds: bool) -> None:
    answer = await api.ask(await api.key(), "/v1/config/org", "PUT", content=json.dumps(with_number(pointer, number)).encode())
    if holds:
        assert answer.status_code == 201, answer.text
    else:
        problem(answer, 422, pointer)


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"policies": [{"name": f"p{n}", "when": "true"} for n in range(65)]}, "/policies"),
        ({"rate_limits": [{**LIMIT, "name": f"l{n}"} for n in range(33)]}, "/rate_limits"),
        ({"routes": []}, "/routes"),
        ({"policies": [{"name": "a", "when": "true || " * 250 + "true"}]}, "/policies/0/when"),
        ({"policies": [{"name": "a" * 64, "when": "true"}]}, "/policies/0/name"),
        ({"policies": [{"name": "a", "when": "true", "reason": "x" * 501}]}, "/policies/0/reason"),
        ({"rate_limits": [{**LIMIT, "per": ["subject", "subject"]}]}, "/rate_limits/0/per"),
        ({"rate_limits": [{**LIMIT, "per": ["ip"]}]}, "/rate_limits/0/per/0"),
    ],
)
async def test_list_or_text_over_its_bound_is_named(api: Api, document: Any, pointer: str) -> None:
    problem(await api.ask(await api.key(), "/v1/config/org", "PUT", json=document), 422, pointer)


async def test_twenty_fields_are_named_when_there_are_twenty_thousand(api: Api) -> None:
    told = problem(await api.ask(await api.key(), "/v1/config/org", "PUT", json={f"f{n}": 1 for n in range(20_000)}), 422)
    assert [one["pointer"] for one in told["errors"]] == [f"/f{n}" for n in range(20)]
    assert "19980 more" in told["detail"]


async def test_document_may_be_as_large_as_its_bound_and_no_larger_however_it_is_written(api: Api) -> None:
    admin = await api.key()
    just = {"schema": {"description": "x" * (262_144 - len('{"schema":{"description":""}}'))}}
    text = json.dumps(just, separators=(",", ":")).encode()
    assert (await api.ask(admin, "/v1/config/org", "PUT", content=text)).status_code == 201
    problem(await api.ask(admin, "/v1/config/org", "PUT", content=text.replace(b"xx", b"xxx", 1)), 413)
    short = b'{"schema":{"enum":[' + b"1e15," * 50_000 + b"1]}}"  # 1000000000000000.0 each
    problem(await api.ask(admin, "/v1/config/org", "PUT", content=short), 422, "")


async def test_backtest_refuses_a_cursor_that_nobody_was_given(api: Api) -> None:
    admin = await api.key()
    for cursor in ("", "1", "-1-" + "0" * 32, "1-" + "0" * 31, "1-" + "g" * 32, "9" * 18 + "-" + "0" * 32, "1" * 19 + "-" + "0" * 32):
        body = {"path": "org", "document": {}, "cursor": cursor}
        problem(await api.ask(admin, "/v1/config/backtest", "POST", json=body), 400, "/cursor")


@pytest.mark.parametrize("principal", ["", "\0", "a\x7f", "x" * 65, 7])
async def test_check_names_the_principal_that_is_no_name(api: Api, principal: Any) -> None:
    problem(await api.ask(await api.key(), "/v1/config/check", "POST", json={"principal": principal, "events": []}), 400, "/principal")


async def test_org_of_another_ones_stream_is_not_made_by_its_first_principal_either(api: Api) -> None:
    root = await api.key("root", "acme", system=True)
    problem(await api.ask(root, "/v1/config/principals/shop?org=submit-acme", "PUT", json={"grants": []}), 400, "/org")
    assert (await api.ask(root, "/v1/config/principals/shop?org=globex", "PUT", json={"grants": []})).status_code == 201


async def test_command_is_refused_when_it_claims_another_org_than_its_senders(api: Api) -> None:
    admin, root = await api.key(), await api.key("root", "default", system=True)
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "switchboard.config.put", "subject": "org"}
    headers = {"content-type": "application/cloudevents+json"}

    async def command(key: str, **more: Any) -> tuple[str, Any]:
        answer = await api.ask(key, "/", "POST", content=json.dumps(event | {"data": {"document": {}}} | more).encode(), headers=headers)
        assert answer.status_code == 200
        return answer.headers["ce-type"], answer.json()

    before = (await api.config.snapshot()).revision
    for key in (admin, root):
        type, told = await command(key, org="globex")
        assert (type, told["status"], told["rule"]) == ("switchboard.config.refused", 403, "org")
    assert (await api.config.snapshot()).revision == before
    assert (await command(admin, org="acme"))[0] == "switchboard.config.changed"
    await api.key("admin", "globex")
    assert (await command(root, org="default", data={"document": {}, "org": "globex"}))[0] == "switchboard.config.changed"
