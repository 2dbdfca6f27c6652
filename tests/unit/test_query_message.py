"""What query answers of one message (contracts.md, "Query"); on stores in memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from functions.query.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from tests.rest import Api, problem, serving
from tests.stored import NOON, accepted, attempt, stored, taken, text


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


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
