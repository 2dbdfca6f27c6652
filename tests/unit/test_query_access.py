"""Who may ask query, and for what (contracts.md, "Query"); on stores in memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from functions.query.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.principal import Grant
from shared.domain.stored import Search, StoredMessage
from tests.rest import Api, problem, serving
from tests.stored import accepted, attempt, stored, text


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


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


async def test_refusals_outside_the_grants_are_not_counted(api: Api) -> None:
    """An event may be sent again under another topic: its id is the same."""
    await stored(api, attempt("1"), attempt("1", topic="pay.a"), attempt("1", topic="pay.a"))
    path = f"/v1/messages/{text(accepted('1').message.id)}"
    key = await api.key("agent", "acme", Grant("read", ("orders.>",)))
    assert (await api.ask(key, path)).json()["attempts"] == 1
    assert (await api.ask(await api.key(), path)).json()["attempts"] == 3


async def test_answer_says_nothing_of_a_fault_of_ours_and_comes_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(wanted: Search) -> list[StoredMessage]:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(api.store, "search", broken)
    response = await api.ask(await api.key(), "/v1/messages")
    assert "hunter2" not in str(problem(response, 500))
