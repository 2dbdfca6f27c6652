"""Principals and keys over REST (contracts.md, "Config"); on a config store in memory."""

import json
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

PRINCIPALS = "/v1/config/principals"
SHOP = f"{PRINCIPALS}/shop"
PUBLISH = {"grants": [{"action": "publish", "topics": ["orders.>"]}]}


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


async def test_principal_is_there_after_it_was_put_and_gone_after_it_was_deleted(api: Api) -> None:
    admin = await api.key()
    made = await api.ask(admin, SHOP, "PUT", json=PUBLISH)
    assert made.status_code == 201
    assert made.json()["config_revision"] > 1
    shown = {"name": "shop", "org": "acme", "system": False, "grants": [{"action": "publish", "topics": ["orders.>"], "subjects": ["*"]}]}
    assert (await api.ask(admin, SHOP)).json() == shown
    assert (await api.ask(admin, SHOP, "PUT", json=PUBLISH)).status_code == 200
    assert [one["name"] for one in (await api.ask(admin, PRINCIPALS)).json()["items"]] == ["admin", "shop"]
    assert (await api.ask(admin, SHOP, "DELETE")).status_code == 204
    problem(await api.ask(admin, SHOP), 404)
    problem(await api.ask(admin, SHOP, "DELETE"), 404)


async def test_key_works_until_it_is_deleted_and_is_shown_once(api: Api) -> None:
    admin = await api.key()
    await api.ask(admin, SHOP, "PUT", json={"grants": [{"action": "config:read"}]})
    made = await api.ask(admin, f"{SHOP}/keys", "POST")
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    assert made.json().keys() == {"id", "key", "principal"}
    key, key_id = made.json()["key"], made.json()["id"]
    assert await eventually(lambda: api.resources.snapshots.current.principal_of(key))
    listed = await api.ask(key, f"{SHOP}/keys")
    assert [one["id"] for one in listed.json()["items"]] == [key_id]
    assert key not in listed.text
    assert (await api.ask(admin, f"{SHOP}/keys/{key_id}", "DELETE")).status_code == 204
    assert await eventually(lambda: api.resources.snapshots.current.principal_of(key) is None)
    problem(await api.ask(key, f"{SHOP}/keys"), 401)
    problem(await api.ask(admin, f"{SHOP}/keys/{key_id}", "DELETE"), 404)


async def test_door_is_held_to_its_grants_when_its_principal_is_put(api: Api) -> None:
    admin = await api.key()
    assert (await api.ask(admin, f"{PRINCIPALS}/redis:acme", "PUT", json=PUBLISH)).status_code == 201
    granted = (Grant("publish", ("orders.>",)),)
    assert await eventually(lambda: api.resources.snapshots.current.door_principal("redis", "acme").grants == granted)


async def test_keys_stop_working_when_their_principal_is_deleted(api: Api) -> None:
    key = await api.key("shop", "acme", Grant("config:read"))
    assert (await api.ask(await api.key(), SHOP, "DELETE")).status_code == 204
    assert await eventually(lambda: api.resources.snapshots.current.principal_of(key) is None)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", f"{SHOP}/keys"), ("GET", f"{SHOP}/keys"), ("DELETE", f"{SHOP}/keys/1"), ("GET", SHOP)]
)
async def test_answer_is_404_when_there_is_no_such_principal(api: Api, method: str, path: str) -> None:
    problem(await api.ask(await api.key(), path, method), 404)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        *(("", ""), ("{", ""), ("[]", ""), ("null", ""), ("[" * 100_000, ""), ("{}", "/grants"), ('{"grants":null}', "/grants")),
        ('{"grants":[],"grants":[{"action":"admin"}]}', ""),
        (json.dumps({"grants": [{"action": "read", "topics": [f"{at}.{one}" for one in range(100)]} for at in range(10)]}), "/grants"),
        *(('{"grants":[],"system":true}', "/system"), ('{"grants":[{}]}', "/grants/0/action")),
        *(('{"grants":[{"action":"rule"}]}', "/grants/0/action"), ('{"grants":[{"action":"read","topic":"a"}]}', "/grants/0/topic")),
        *(
            ('{"grants":[{"action":"read","topics":[]}]}', "/grants/0/topics"),
            ('{"grants":[{"action":"read","topics":">"}]}', "/grants/0/topics"),
        ),
        *(
            (f'{{"grants":[{{"action":"read","topics":["{bad}"]}}]}}', "/grants/0/topics/0")
            for bad in ("", "a..b", "a.>.b", "a*", "\\u0000", "\\ud800")
        ),
        *(
            (f'{{"grants":[{{"action":"read","subjects":["{bad}"]}}]}}', "/grants/0/subjects/0")
            for bad in ("", "\\u0000", "a" * 1025, "agent-*", "a.>")
        ),
    ],
)
async def test_answer_names_the_field_that_is_wrong(api: Api, body: str, pointer: str) -> None:
    response = await api.ask(await api.key(), SHOP, "PUT", content=body.encode())
    found = problem(response, 400)["errors"][0]["pointer"]
    assert found == pointer or (pointer.endswith("/0") and found in (pointer, "")), response.text


async def test_body_is_refused_when_it_is_too_large(api: Api) -> None:
    problem(await api.ask(await api.key(), SHOP, "PUT", content=b" " * 300_000), 413)


@pytest.mark.parametrize("name", ["a.b", "-a", "a b", "*", "%3E", "%00", "a" * 65, "%E2%82%AC", "'; DROP TABLE principals; --"])
async def test_answer_names_name_when_it_is_none(api: Api, name: str) -> None:
    problem(await api.ask(await api.key(), f"{PRINCIPALS}/{name}", "PUT", json=PUBLISH), 400, "name")


# ---- who may do what ------------------------------------------------------------------------------------------------------------


async def test_reader_of_config_may_read_and_not_write(api: Api) -> None:
    reader = await api.key("auditor", "acme", Grant("config:read"))
    assert (await api.ask(reader, PRINCIPALS)).status_code == 200
    for method, path in (("PUT", SHOP), ("DELETE", SHOP), ("POST", f"{SHOP}/keys"), ("DELETE", f"{SHOP}/keys/1")):
        problem(await api.ask(reader, path, method, json=PUBLISH), 403)
    problem(await api.ask(await api.key("shop", "acme", Grant("publish")), PRINCIPALS), 403)
    problem(await api.ask(None, PRINCIPALS), 401)


async def test_writer_of_config_may_grant_only_what_it_holds(api: Api) -> None:
    writer = await api.key("clerk", "acme", Grant("config:write"), Grant("publish", ("orders.>",)))
    assert (await api.ask(writer, SHOP, "PUT", json=PUBLISH)).status_code == 201
    for grants in ([{"action": "publish"}], [{"action": "read", "topics": ["orders.a"]}], [{"action": "admin"}]):
        problem(await api.ask(writer, SHOP, "PUT", json={"grants": grants}), 403)


async def test_writer_of_config_may_not_take_over_who_holds_more(api: Api) -> None:
    await api.key()
    writer = await api.key("clerk", "acme", Grant("config:write"))
    admin = f"{PRINCIPALS}/admin"
    for method, path in (("POST", f"{admin}/keys"), ("PUT", admin), ("DELETE", admin), ("DELETE", f"{admin}/keys/1")):
        problem(await api.ask(writer, path, method, json={"grants": []}), 403)


async def test_doors_principal_is_for_who_holds_what_it_has_without_config(api: Api) -> None:
    """Where config has none of its name it may publish everything: to make the first takes that away, to remove it gives it back."""
    admin = await api.key()
    clerk = await api.key("clerk", "acme", Grant("config:write"), Grant("publish", ("orders.>",)))
    door, fewer = f"{PRINCIPALS}/redis:acme", {"grants": [{"action": "publish", "topics": ["orders.new"]}]}
    problem(await api.ask(clerk, door, "PUT", json=fewer), 403)
    assert (await api.ask(admin, door, "PUT", json=fewer)).status_code == 201
    assert (await api.ask(clerk, door, "PUT", json={"grants": []})).status_code == 200
    problem(await api.ask(clerk, door, "DELETE"), 403)
    problem(await api.ask(clerk, f"{PRINCIPALS}/nats:acme", "DELETE"), 403)
    assert (await api.ask(clerk, f"{PRINCIPALS}/redis:globex", "PUT", json=fewer)).status_code == 201  # no door of this org's
    assert (await api.ask(admin, door, "DELETE")).status_code == 204


async def test_orgs_admin_may_not_take_over_a_system_admin(api: Api) -> None:
    await api.key("root", "acme", system=True)
    admin = await api.key()
    problem(await api.ask(admin, f"{PRINCIPALS}/root/keys", "POST"), 403)
    problem(await api.ask(admin, f"{PRINCIPALS}/root", "PUT", json={"grants": []}), 403)


async def test_other_org_is_open_to_a_system_admin_only(api: Api) -> None:
    root = await api.key("root", "default", system=True)
    made = await api.ask(root, f"{SHOP}?org=globex", "PUT", json=PUBLISH)
    assert (made.status_code, made.json()["org"]) == (201, "globex")
    problem(await api.ask(await api.key(), f"{SHOP}?org=globex"), 403)
    problem(await api.ask(await api.key(), SHOP), 404)
    assert (await api.ask(await api.key("admin", "globex"), SHOP)).status_code == 200


async def test_system_admin_stays_one_when_it_is_put_again(api: Api) -> None:
    root = await api.key("root", "default", system=True)
    again = await api.ask(root, f"{PRINCIPALS}/root", "PUT", json={"grants": [{"action": "admin"}]})
    assert again.json()["system"] is True


# ---- nobody locks everybody out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grants", [[], [{"action": "read"}], [{"action": "admin", "topics": ["orders.>"]}]])
async def test_last_system_admin_keeps_its_grants_when_it_is_put_with_less(api: Api, grants: list[dict[str, object]]) -> None:
    root = await api.key("root", "default", system=True)
    problem(await api.ask(root, f"{PRINCIPALS}/root", "PUT", json={"grants": grants}), 422, "/grants")
    assert (await api.ask(root, f"{PRINCIPALS}/root")).json()["grants"][0]["action"] == "admin"


async def test_last_system_admin_stays_when_it_is_deleted(api: Api) -> None:
    root = await api.key("root", "default", system=True)
    await api.key("admin", "default")
    problem(await api.ask(root, f"{PRINCIPALS}/root", "DELETE"), 422, "name")
    [key] = (await api.ask(root, f"{PRINCIPALS}/root/keys")).json()["items"]
    problem(await api.ask(root, f"{PRINCIPALS}/root/keys/{key['id']}", "DELETE"), 422, "key_id")


async def test_system_admin_may_go_when_another_has_a_key(api: Api) -> None:
    root, other = await api.key("root", "default", system=True), await api.key("other", "default", system=True)
    assert (await api.ask(root, f"{PRINCIPALS}/root", "PUT", json={"grants": [{"action": "read"}]})).status_code == 200
    assert (await api.ask(other, f"{PRINCIPALS}/root", "DELETE")).status_code == 204
    problem(await api.ask(other, f"{PRINCIPALS}/other", "DELETE"), 422, "name")


async def test_old_key_of_the_last_system_admin_may_go_when_it_has_a_new_one(api: Api) -> None:
    root = await api.key("root", "default", system=True)
    old, _ = [(await api.ask(root, f"{PRINCIPALS}/root/keys")).json()["items"][0], await api.ask(root, f"{PRINCIPALS}/root/keys", "POST")]
    assert (await api.ask(root, f"{PRINCIPALS}/root/keys/{old['id']}", "DELETE")).status_code == 204


async def test_principal_is_not_replaced_when_only_a_new_one_is_wanted(api: Api) -> None:
    admin = await api.key()
    new = {"if-none-match": "*"}
    assert (await api.ask(admin, SHOP, "PUT", json=PUBLISH, headers=new)).status_code == 201
    problem(await api.ask(admin, SHOP, "PUT", json={"grants": []}, headers=new), 412)
    problem(await api.ask(admin, SHOP, "PUT", json={"grants": []}, headers={"if-none-match": '"4"'}), 400, "if-none-match")
    assert (await api.ask(admin, SHOP)).json()["grants"][0]["action"] == "publish"
