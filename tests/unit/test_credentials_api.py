"""Credentials over REST on stores in memory: who may give whom what. What they are good for: tests/integration/test_credentials.py."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from functions.registry_crud.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.principal import Grant, Principal
from shared.domain.registry.deciding import Change
from shared.domain.registry.shapes import SHARED, Cluster
from tests.rest import Api, problem, serving

HERE = Cluster("here", SHARED, "", "local", None, {})
READS = Grant("read", ("orders.>",), ("agent-7",))


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        await served.registry.write(Change("cluster.add", HERE, 0), "test")
        yield served


async def declared(api: Api, key: str, **more: Any) -> str:
    """The path of a new backbone's credentials."""
    answer = await api.ask(key, "/v1/backbones", "POST", json={"cluster": "here", "name": "main"} | more)
    assert answer.status_code == 202, answer.text
    return f"{answer.headers['location']}/credentials"


async def test_it_is_told_once_with_all_that_a_client_needs(api: Api) -> None:
    admin = await api.key()
    path = await declared(api, admin)
    await api.config.put_principal(Principal("agent-7", "acme", (READS,)), "test")
    answer = await api.ask(admin, path, "POST", json={"principal": "agent-7"}, headers={"switchboard-reason": "it is new"})
    made = answer.json()
    assert (answer.status_code, made["org"], made["principal"], made["filters"]) == (201, "acme", "agent-7", ["sb.acme.agent-7.orders.>"])
    assert made["jwt"] in made["credentials"]
    assert made["seed"] in made["credentials"]
    [revision] = await api.config.revisions("acme", 1)
    assert (revision.action, revision.reason, revision.author) == ("credential.create", "it is new", "admin")
    text = (await api.ask(admin, path)).text
    assert made["id"] in text
    assert not any(secret in text for secret in (made["jwt"], made["seed"]))
    assert (await api.ask(admin, f"{path}/{made['id']}", "DELETE")).status_code == 204
    assert (await api.ask(admin, f"{path}/{made['id']}", "DELETE")).status_code == 204
    problem(await api.ask(admin, f"{path}/c_000000000000", "DELETE"), 404)


async def test_nobody_gives_more_than_they_hold(api: Api) -> None:
    admin = await api.key()
    path = await declared(api, admin)
    await api.config.put_principal(Principal("agent-7", "acme", (READS,)), "test")
    body = {"principal": "agent-7"}
    problem(await api.ask(None, path, "POST", json=body), 401)
    problem(await api.ask(await api.key("reader", "acme", Grant("read")), path, "POST", json=body), 403)
    problem(await api.ask(await api.key("writer", "acme", Grant("config:write")), path, "POST", json=body), 403)
    able = await api.key("able", "acme", Grant("config:write"), Grant("read"))
    assert (await api.ask(able, path, "POST", json=body)).status_code == 201
    problem(await api.ask(able, path, "POST", json={"principal": "admin"}), 403)
    await api.config.put_principal(Principal("root", "acme", (READS,), system=True), "test")
    problem(await api.ask(admin, path, "POST", json={"principal": "root"}), 403)


async def test_anothers_backbone_is_none_and_a_shared_one_is_everybodys(api: Api) -> None:
    acme, globex, system = await api.key(), await api.key(org="globex"), await api.key("root", "default", system=True)
    await api.config.put_principal(Principal("agent-7", "globex", (READS,)), "test")
    body = {"principal": "agent-7"}
    for method, path in (("POST", await declared(api, acme)), ("GET", await declared(api, acme, name="two"))):
        problem(await api.ask(globex, path, method, json=body), 404)
    shared = await declared(api, system, org=None)
    made = (await api.ask(globex, shared, "POST", json=body)).json()
    assert made["filters"] == ["sb.globex.agent-7.orders.>"]
    assert (await api.ask(acme, shared)).json()["items"] == []
    problem(await api.ask(acme, f"{shared}/{made['id']}", "DELETE"), 404)
    problem(await api.ask(acme, f"{shared}?org=globex"), 403)
    assert [one["id"] for one in (await api.ask(system, f"{shared}?org=globex")).json()["items"]] == [made["id"]]


@pytest.mark.parametrize("endpoint", ["nats://127.0.0.1:4222"])
async def test_it_says_why_not_when_a_backbones_servers_know_no_tokens(api: Api, endpoint: str) -> None:
    admin = await api.key()
    path = await declared(api, admin, endpoint=endpoint)
    problem(await api.ask(admin, path, "POST", json={"principal": "admin"}), 422, "id")
