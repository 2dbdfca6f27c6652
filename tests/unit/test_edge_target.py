"""Targets of REST requests: whatever is no text, not known or there twice is said, and not read as something else."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from functions.config_crud.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from tests.rest import Api, problem, serving

DOCUMENTS = "/v1/config/documents"


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


@pytest.mark.parametrize(
    ("target", "pointer"),
    [
        *(("subjects/%FF", "path"), ("topics/a.%C3", "path"), ("subjects/%ED%A0%80", "path")),
        *(("effective?topic=%FF", "topic"), ("effective?topic=a&subject=%C3%28", "subject"), ("effective?topic=a%00", "topic")),
        *(("revisions?path=%00", "path"), ("revisions?pth=org", "pth"), ("revisions?limit=1&limit=2", "limit"), ("org?ogr=globex", "ogr")),
        *(("org?org=acme&org=globex", "org"), ("documents?%FF=1", "%FF"), ("documents?%C3%A9%0A=1", "é?"), ("effective?topic=a&=", "")),
    ],
)
async def test_target_is_refused_and_named_when_it_is_not_what_it_seems(api: Api, target: str, pointer: str) -> None:
    admin = await api.key()
    before = (await api.config.snapshot()).revision
    for method in ("GET", "DELETE") if target.startswith(("org", "topics", "subjects")) else ("GET",):
        problem(await api.ask(admin, f"/v1/config/{target}", method), 400, pointer)
    assert (await api.config.snapshot()).revision == before


async def test_escaped_and_plain_targets_are_one_when_they_say_the_same(api: Api) -> None:
    admin = await api.key()
    for target in ("subjects/%EF%BF%BD", "subjects/%c3%A9", "topics/a%2Fb.%2A"):
        assert (await api.ask(admin, f"/v1/config/{target}", "PUT", json={})).status_code == 201
    assert (await api.ask(admin, "/v1/config/subjects/%C3%A9?org=acme")).status_code == 200
    found = [one["path"] for one in (await api.ask(admin, f"{DOCUMENTS}?")).json()["items"]]
    assert sorted(found) == ["subjects/é", "subjects/\ufffd", "topics/a/b.*"]


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("POST", "/v1/config/org", "DELETE, GET, HEAD, PATCH, PUT"),
        ("POST", "/v1/config/topics/a", "DELETE, GET, HEAD, PATCH, PUT"),
        ("PUT", "/v1/config/principals/shop/keys", "GET, HEAD, POST"),
        ("GET", "/v1/config/rollback", "POST"),
    ],
)
async def test_answer_names_every_method_when_it_has_another(api: Api, method: str, target: str, allowed: str) -> None:
    refused = await api.ask(await api.key(), target, method)
    problem(refused, 405)
    assert (refused.headers["allow"], refused.json()["detail"]) == (allowed, f"{method} is not for {target}")


@pytest.mark.parametrize(("target", "status"), [("/v1/config/org", 200), ("/v1/config/org?ogr=x", 400), ("/v1/config/rollback", 405)])
async def test_head_is_answered_as_get_is_but_for_the_body(api: Api, target: str, status: int) -> None:
    admin = await api.key()
    assert (await api.ask(admin, "/v1/config/org", "PUT", json={"max_bytes": 10})).status_code == 201
    asked, told = await api.ask(admin, target), await api.ask(admin, target, "HEAD")
    assert (told.status_code, told.headers, told.content) == (status, asked.headers, b"")


async def test_message_to_nobody_is_meant_when_the_subject_is_empty(api: Api) -> None:
    admin = await api.key()
    for subject, said in (("", None), ("agent-7", "agent-7")):
        found = await api.ask(admin, "/v1/config/effective", params={"topic": "a", "subject": subject})
        assert found.json()["subject"] == said


@pytest.mark.parametrize(
    ("lines", "status", "pointer"),
    [
        ([("if-match", "*"), ("if-match", '"1"')], 400, "if-match"),
        ([("if-match", '"1"'), ("if-match", "{etag}")], 200, None),
        ([("if-match", '"1"'), ("if-match", '"3000"')], 412, None),
        ([("if-none-match", "*"), ("if-none-match", "*")], 400, "if-none-match"),
        ([("switchboard-reason", "a"), ("switchboard-reason", "b")], 400, "switchboard-reason"),
    ],
)
async def test_lines_of_one_header_are_one_when_there_are_several(
    api: Api, lines: list[tuple[str, str]], status: int, pointer: str | None
) -> None:
    admin = await api.key()
    etag = (await api.ask(admin, "/v1/config/org", "PUT", json={})).headers["etag"]
    headers = httpx.Headers([("authorization", f"Bearer {admin}"), *((name, value.replace("{etag}", etag)) for name, value in lines)])
    answer = await api.client.put("/v1/config/org", json={"max_bytes": 7}, headers=headers)
    if status == 200:
        assert answer.status_code == 200
    else:
        problem(answer, status, pointer)
        assert (await api.ask(admin, "/v1/config/org")).headers["etag"] == etag


async def test_answer_is_304_when_the_client_has_any_version_or_this_one(api: Api) -> None:
    admin = await api.key()
    etag = (await api.ask(admin, "/v1/config/org", "PUT", json={})).headers["etag"]
    for given, status in (("*", 304), (etag, 304), (f"W/{etag}", 304), (f'"0", {etag}', 304), ('"0"', 200)):
        answer = await api.ask(admin, "/v1/config/org", headers={"if-none-match": given})
        assert (answer.status_code, answer.headers["etag"]) == (status, etag)
    problem(await api.ask(admin, "/v1/config/topics/a", headers={"if-none-match": "*"}), 404)
