"""Orgs and entity tags of principals over REST; on a config store in memory."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from functions.config_crud.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.principal import Grant
from tests.rest import Api, problem, serving
from tests.waiting import eventually

ORGS, SHOP = "/v1/config/orgs", "/v1/config/principals/shop"


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


@pytest.mark.parametrize("name", ["submit-acme", "rejected-acme"])
async def test_org_is_not_made_when_its_stream_would_be_another_orgs(api: Api, name: str) -> None:
    root = await api.key("root", "default", system=True)
    refused = await api.ask(root, f"{ORGS}/{name}", "PUT")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/org")


async def test_org_has_its_first_admin_when_it_is_made_and_no_other_when_it_is_there(api: Api) -> None:
    root = await api.key("root", "default", system=True)
    made = await api.ask(root, f"{ORGS}/globex", "PUT")
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    key = made.json()["admin"]["key"]
    assert made.json().items() >= {"org": "globex", "deleted": None}.items()
    await eventually(lambda: api.resources.snapshots.current.principal_of(key))
    assert (await api.ask(key, "/v1/config/org", "PUT", json={})).status_code == 201
    assert (await api.ask(key, "/v1/config/principals/admin")).json()["system"] is False
    again = await api.ask(root, f"{ORGS}/globex", "PUT", json={"admin": "boss"})
    assert (again.status_code, again.json()) == (200, (await api.ask(root, f"{ORGS}/globex")).json())
    assert [one["org"] for one in (await api.ask(root, ORGS)).json()["items"]] == ["default", "globex"]
    assert (await api.ask(root, f"{ORGS}/initech", "PUT", json={"admin": "boss"})).json()["admin"]["principal"] == "boss"


async def test_orgs_doors_are_shut_when_it_is_deleted(api: Api) -> None:
    root = await api.key("root", "default", system=True)
    key = (await api.ask(root, f"{ORGS}/globex", "PUT")).json()["admin"]["key"]
    assert (await api.ask(root, f"{ORGS}/globex", "DELETE", headers={"switchboard-reason": "left"})).status_code == 204
    await eventually(lambda: api.resources.snapshots.current.principal_of(key) is None)
    problem(await api.ask(key, "/v1/config/org"), 401)
    problem(await api.ask(root, f"{ORGS}/globex", "DELETE"), 404)
    assert (await api.ask(root, f"{ORGS}/globex")).json()["deleted"].endswith("Z")
    problem(await api.ask(root, f"{ORGS}/globex", "PUT"), 422)
    problem(await api.ask(root, f"{SHOP}?org=globex", "PUT", json={"grants": []}), 422)
    again = await api.ask(root, f"{ORGS}/globex", "PUT", json={"restore": True})
    assert (again.status_code, again.json()["deleted"]) == (201, None)
    assert again.json()["admin"]["key"] != key


async def test_orgs_are_for_system_admins(api: Api) -> None:
    await api.key("root", "default", system=True)
    limited = await api.key("half", "default", Grant("config:write"), system=True)
    for caller in (await api.key(), limited):
        for method, path in (("GET", ORGS), ("GET", f"{ORGS}/acme"), ("PUT", f"{ORGS}/initech"), ("DELETE", f"{ORGS}/acme")):
            problem(await api.ask(caller, path, method), 403)


@pytest.mark.parametrize(("org", "pointer"), [("Acme", "/org"), ("-a", "/org"), ("a" * 41, "/org"), ("a%2Eb", "/org")])
async def test_answer_names_org_when_it_is_none(api: Api, org: str, pointer: str) -> None:
    problem(await api.ask(await api.key("root", "default", system=True), f"{ORGS}/{org}", "PUT"), 400, pointer)


async def test_last_system_admins_org_stays(api: Api) -> None:
    root = await api.key("root", "default", system=True)
    problem(await api.ask(root, f"{ORGS}/default", "DELETE"), 422)
    problem(await api.ask(root, f"{ORGS}/nowhere", "DELETE"), 404)
    assert (await api.ask(root, ORGS)).status_code == 200


async def test_principal_is_guarded_by_its_entity_tag(api: Api) -> None:
    admin = await api.key()
    made = await api.ask(admin, SHOP, "PUT", json={"grants": []})
    etag = made.headers["etag"]
    assert etag == f'"{made.json()["config_revision"]}"' == (await api.ask(admin, SHOP)).headers["etag"]
    await api.ask(admin, f"{SHOP}/keys", "POST")
    assert (await api.ask(admin, SHOP)).headers["etag"] == etag
    second = await api.ask(admin, SHOP, "PUT", json={"grants": [{"action": "read"}]}, headers={"if-match": etag})
    assert second.status_code == 200
    for method in ("PUT", "DELETE"):
        stale = await api.ask(admin, SHOP, method, json={"grants": []}, headers={"if-match": etag})
        problem(stale, 412)
        assert stale.headers["etag"] == second.headers["etag"]
    problem(await api.ask(admin, "/v1/config/principals/till", "DELETE", headers={"if-match": "*"}), 412)
    assert (await api.ask(admin, SHOP, "DELETE", headers={"if-match": second.headers["etag"]})).status_code == 204


async def test_one_system_admin_is_left_when_all_go_at_once(api: Api) -> None:
    keys = [await api.key(f"root{n}", "default", system=True) for n in range(4)]
    answers = await asyncio.gather(*(api.ask(key, f"/v1/config/principals/root{n}", "DELETE") for n, key in enumerate(keys)))
    assert sorted(answer.status_code for answer in answers) == [204, 204, 204, 422]
