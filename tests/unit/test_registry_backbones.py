"""Backbones over REST (contracts.md, "Registry"); on a registry in memory."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from shared.domain.principal import Grant
from shared.domain.registry.shapes import Condition, Status
from tests.declared import BACKBONES, CLUSTERS, EU, MAIN, made, registering
from tests.rest import Api, problem


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with registering(tmp_path) as served:
        yield served


async def test_backbone_is_there_under_a_new_id_when_it_was_declared(api: Api) -> None:
    admin = await api.key()
    await api.ask(admin, CLUSTERS, "POST", json=EU)
    answer = await api.ask(admin, BACKBONES, "POST", json=MAIN)
    shown = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"{BACKBONES}/{shown['id']}")
    assert shown["id"].startswith("main-")
    told = {"org": "acme", "scope": "local", "endpoint": "nats://nats.eu.example:4222", "domain": None, "generation": 1, "deleting": False}
    assert shown == shown | MAIN | told
    assert shown["spec"] == {
        "replicas": 1,
        "jetstream": {"storage": "file", "size": "10Gi"},
        "expose": {"type": "ClusterIP", "host": ""},
        "values": {},
    }
    [ready] = shown["status"]["conditions"]
    assert (ready["type"], ready["status"], shown["status"]["observed_generation"]) == ("Ready", "Unknown", 0)
    read = await api.ask(admin, answer.headers["location"])
    assert (read.status_code, read.json(), read.headers["etag"]) == (200, shown, answer.headers["etag"])
    assert (await api.ask(admin, BACKBONES)).json() == {"items": [shown], "next": None}
    assert (await api.ask(admin, BACKBONES, params={"cluster": "us"})).json()["items"] == []


async def test_generation_counts_what_is_deployed_when_a_backbone_is_changed(api: Api) -> None:
    admin = await api.key()
    first = await made(api, admin)
    path = f"{BACKBONES}/{first['id']}"
    noted = await api.ask(admin, path, "PUT", json=first | {"metadata": {"note": "new"}})
    assert (noted.status_code, noted.json()["generation"], noted.json()["metadata"]) == (202, 1, {"note": "new"})
    deployed = await api.ask(admin, path, "PUT", json={"spec": {"replicas": 3}}, headers={"if-match": noted.headers["etag"]})
    assert (deployed.status_code, deployed.json()["generation"], deployed.json()["spec"]["replicas"]) == (202, 2, 3)
    assert deployed.json()["endpoint"] is None  # PUT replaces
    problem(await api.ask(admin, path, "PUT", json=first, headers={"if-match": noted.headers["etag"]}), 412)
    same = await api.ask(admin, path, "PUT", json=deployed.json())
    assert (same.status_code, same.headers["etag"]) == (200, deployed.headers["etag"])
    for name, other in (("name", "other"), ("cluster", "us"), ("scope", "global"), ("org", "globex")):
        problem(await api.ask(admin, path, "PUT", json=first | {name: other}), 422, f"/{name}")


@pytest.mark.parametrize(
    ("jetstream", "values", "pointer"),
    [
        ({"size": "20Gi"}, {}, "/spec/jetstream/size"),
        ({"storage": "memory"}, {}, "/spec/jetstream/storage"),
        ({}, {"jetstream": {"storageClass": "fast"}}, "/spec/values/jetstream/storageClass"),
    ],
)
async def test_volume_stays_when_a_backbone_was_taken_up(api: Api, jetstream: Any, values: Any, pointer: str) -> None:
    admin = await api.key()
    path = f"{BACKBONES}/{(await made(api, admin))['id']}"
    wanted = {"spec": {"jetstream": jetstream, "values": values}}
    assert (await api.ask(admin, path, "PUT", json=wanted)).status_code == 202  # nothing is there yet
    assert (await api.ask(admin, path, "PUT", json={"spec": {}})).status_code == 202
    await api.registry.report("acme", path.removeprefix("/v1/"), Status(1))
    refused = await api.ask(admin, path, "PUT", json=wanted)
    problem(refused, 422, pointer)
    assert (await api.ask(admin, path, "PUT", json={"spec": {"replicas": 3}})).status_code == 202


async def test_backbone_goes_at_once_when_nobody_installed_anything_and_is_marked_when_somebody_did(api: Api) -> None:
    admin = await api.key()
    first, second = await made(api, admin), await made(api, admin, name="second")
    status = Status(1, "2.11.4", 3, "2026-01-01T00:00:00Z", (Condition("Ready", "True", "Serving", "3 of 3", "2026-01-01T00:00:00Z"),))
    await api.registry.report("acme", f"backbones/{second['id']}", status)
    assert (await api.ask(admin, f"{BACKBONES}/{first['id']}", "DELETE")).status_code == 204
    problem(await api.ask(admin, f"{BACKBONES}/{first['id']}"), 404)
    going = await api.ask(admin, f"{BACKBONES}/{second['id']}", "DELETE")
    assert (going.status_code, going.json()["deleting"]) == (202, True)
    assert msgspec.convert(going.json()["status"], Status) == status
    assert (await api.ask(admin, f"{BACKBONES}/{second['id']}", "DELETE")).status_code == 200
    problem(await api.ask(admin, f"{BACKBONES}/{second['id']}", "PUT", json={"spec": {"replicas": 3}}), 422)
    problem(await api.ask(admin, f"{CLUSTERS}/eu", "DELETE"), 422)
    told = [(one["action"], one["author"]) for one in (await api.ask(admin, f"{BACKBONES}/{first['id']}/events")).json()["items"]]
    assert told == [("backbone.remove", "admin"), ("backbone.add", "admin")]


async def test_backbone_is_forgotten_when_it_is_given_up_and_not_before_it_is_deleted(api: Api) -> None:
    admin = await api.key()
    path = f"{BACKBONES}/{(await made(api, admin))['id']}"
    await api.registry.report("acme", path.removeprefix("/v1/"), Status(1))
    problem(await api.ask(admin, path, "DELETE", params={"abandon": "true"}), 422)
    assert (await api.ask(admin, path, "DELETE")).status_code == 202
    problem(await api.ask(admin, CLUSTERS + "/eu", "DELETE"), 422)
    problem(await api.ask(admin, path, "DELETE", params={"abandon": "true"}, headers={"if-match": '"1"'}), 412)
    assert (await api.ask(admin, path, "DELETE", params={"abandon": "true"})).status_code == 204
    problem(await api.ask(admin, path), 404)
    assert (await api.ask(admin, CLUSTERS + "/eu", "DELETE")).status_code == 204
    told = (await api.ask(admin, f"{path}/events")).json()["items"][0]
    assert (told["action"], told["message"]) == ("backbone.abandon", "given up: what is left of it stays in the cluster eu")


async def test_what_is_left_stays_for_system_admins_to_give_up_when_the_cluster_is_shared(api: Api) -> None:
    admin, system = await api.key(), await api.key(org="ops", system=True)
    shared = {"name": "shared", "org": None, "provider": "helm", "access": {"in_cluster": True}}
    assert (await api.ask(system, CLUSTERS, "POST", json=shared)).status_code == 202
    path = f"{BACKBONES}/{(await made(api, admin, cluster='shared'))['id']}"
    await api.registry.report("acme", path.removeprefix("/v1/"), Status(1))
    assert (await api.ask(admin, path, "DELETE")).status_code == 202
    problem(await api.ask(admin, path, "DELETE", params={"abandon": "true"}), 403)
    assert (await api.ask(system, path, "DELETE", params={"abandon": "true"})).status_code == 204


async def test_history_comes_in_pages_when_it_is_asked_for(api: Api) -> None:
    admin = await api.key()
    path = f"{BACKBONES}/{(await made(api, admin))['id']}"
    for number in range(4):
        await api.ask(admin, path, "PUT", json={"metadata": {"n": number}}, headers={"switchboard-reason": f"because {number}"})
    first = (await api.ask(admin, f"{path}/events", params={"limit": 3})).json()
    second = (await api.ask(admin, f"{path}/events", params={"limit": 3, "cursor": first["next"]})).json()
    assert [one["reason"] for one in (*first["items"], *second["items"])] == [*(f"because {n}" for n in (3, 2, 1, 0)), ""]
    assert second["next"] is None
    problem(await api.ask(admin, f"{path}/events", params={"cursor": "x"}), 400, "cursor")
    problem(await api.ask(admin, f"{BACKBONES}/nothing/events"), 404)


async def test_list_comes_in_pages_when_it_is_long(api: Api) -> None:
    admin = await api.key()
    ids = sorted([(await made(api, admin, name=name))["id"] for name in ("b", "a", "c")])
    first = (await api.ask(admin, BACKBONES, params={"limit": 2})).json()
    second = (await api.ask(admin, BACKBONES, params={"limit": 2, "cursor": first["next"]})).json()
    assert [one["id"] for one in (*first["items"], *second["items"])] == ids
    assert second["next"] is None
    problem(await api.ask(admin, BACKBONES, params={"limit": 0}), 400)


async def test_other_orgs_backbones_are_not_there_and_shared_ones_are_for_all_to_see(api: Api) -> None:
    admin, other, system = await api.key(), await api.key("boss", "globex"), await api.key("root", "ops", system=True)
    own = await made(api, admin)
    shared = {"name": "everywhere", "org": None, "provider": "helm", "access": {"in_cluster": True}}
    await api.ask(system, CLUSTERS, "POST", json=shared)
    everybodys = (
        await api.ask(system, BACKBONES, "POST", json={"org": None, "cluster": "everywhere", "name": "hub", "scope": "global"})
    ).json()
    assert everybodys["org"] is None
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/events")):
        problem(await api.ask(other, f"{BACKBONES}/{own['id']}{path}", method, json={}), 404)
    problem(await api.ask(other, f"{CLUSTERS}/eu"), 404)
    problem(await api.ask(other, BACKBONES, params={"org": "acme"}), 403)
    assert [one["id"] for one in (await api.ask(other, BACKBONES)).json()["items"]] == [everybodys["id"]]
    assert (await api.ask(other, f"{BACKBONES}/{everybodys['id']}")).status_code == 200
    for method in ("PUT", "DELETE"):
        problem(await api.ask(other, f"{BACKBONES}/{everybodys['id']}", method, json={}), 403)
    problem(await api.ask(other, BACKBONES, "POST", json=MAIN), 422, "/cluster")
    guest = {"cluster": "everywhere", "name": "mine"}
    problem(await api.ask(other, BACKBONES, "POST", json=guest | {"spec": {"values": {"image": {"tag": "mine"}}}}), 422, "/spec/values")
    assert (await api.ask(other, BACKBONES, "POST", json=guest)).status_code == 202
    assert (await api.ask(system, f"{BACKBONES}/{own['id']}", "PUT", json={"metadata": {}})).status_code == 202
    assert {one["id"] for one in (await api.ask(system, BACKBONES, params={"org": "acme"})).json()["items"]} == {
        own["id"],
        everybodys["id"],
    }


async def test_grants_decide_when_the_registry_is_asked(api: Api) -> None:
    admin = await api.key()
    own = await made(api, admin)
    reader, writer = await api.key("r", "acme", Grant("registry:read")), await api.key("w", "acme", Grant("registry:write"))
    narrow, none = await api.key("n", "acme", Grant("admin", ("orders.>",))), await api.key("x", "acme", Grant("config:write"))
    for key, read, write in ((reader, 200, 403), (writer, 200, 202), (narrow, 403, 403), (none, 403, 403), (None, 401, 401)):
        for path in (BACKBONES, CLUSTERS, f"{BACKBONES}/{own['id']}", f"{CLUSTERS}/eu", f"{BACKBONES}/{own['id']}/events"):
            assert (await api.ask(key, path)).status_code == read, path
        body = {"metadata": {"by": str(write)}}
        assert (await api.ask(key, f"{BACKBONES}/{own['id']}", "PUT", json=body)).status_code == write
        if write != 202:
            problem(await api.ask(key, CLUSTERS, "POST", json=EU), write)
            problem(await api.ask(key, BACKBONES, "POST", json=MAIN), write)
            problem(await api.ask(key, f"{BACKBONES}/{own['id']}", "DELETE"), write)
            problem(await api.ask(key, f"{CLUSTERS}/eu", "DELETE"), write)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"endpoint": "nats://127.0.0.1:4222"}, "/endpoint"),
        ({"endpoint": "nats://2130706433"}, "/endpoint"),
        ({"endpoint": "nats://[::ffff:169.254.169.254]"}, "/endpoint"),
        ({"endpoint": "nats://u:p@h"}, "/endpoint"),
        ({"endpoint": 7}, "/endpoint"),
        ({"name": "Main"}, "/name"),
        ({"name": "a" * 39}, "/name"),
        ({"name": "../x"}, "/name"),
        ({"name": "-x"}, "/name"),
        ({"name": "main\n"}, "/name"),
        ({"domain": "hub\n"}, "/domain"),
        ({"domain": "Hub_1"}, "/domain"),
        ({"spec": {"jetstream": {"size": "10Gi\n"}}}, "/spec/jetstream/size"),
        ({"spec": {"jetstream": {"size": "9999999999Ti"}}}, "/spec/jetstream/size"),
        ({"spec": {"chart": "../../backbone"}}, "/spec/chart"),
        ({"spec": {"values": {"chart": "../../backbone"}}}, "/spec/values"),
        ({"cluster": "us"}, "/cluster"),
        ({"cluster": None}, "/cluster"),
        ({"scope": "wide"}, "/scope"),
        ({"domain": "a.b"}, "/domain"),
        ({"spec": None}, "/spec"),
        ({"spec": {"replicas": 2}}, "/spec/replicas"),
        ({"spec": {"jetstream": {"size": "10GB"}}}, "/spec/jetstream/size"),
        ({"spec": {"jetstream": {"storage": "none"}}}, "/spec/jetstream/storage"),
        ({"spec": {"expose": {"type": "HostNetwork"}}}, "/spec/expose/type"),
        ({"spec": {"kubeconfig": "x"}}, "/spec/kubeconfig"),
        ({"spec": {"values": {"limits": {"maxConnections": 0}}}}, "/spec/values/limits/maxConnections"),
        ({"spec": {"values": {"limits": None}}}, "/spec/values/limits"),
        ({"metadata": "x"}, "/metadata"),
        ({"password": "x"}, "/password"),
    ],
)
async def test_answer_names_the_field_when_a_backbone_cannot_be_so(api: Api, change: Any, pointer: str) -> None:
    admin = await api.key()
    await api.ask(admin, CLUSTERS, "POST", json=EU)
    refused = problem(await api.ask(admin, BACKBONES, "POST", json=MAIN | change), 422, pointer)
    assert refused["rule"] == "registry"
    assert [path for _, path in await api.registry.registered()] == ["clusters/eu"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"name":"a","name":"b"}', b'{"metadata":{"a":NaN}}', b"\xff", b'{"name":"\\ud800"}'],
)
async def test_body_is_refused_when_it_is_no_json_object(api: Api, body: bytes) -> None:
    admin = await api.key()
    own = await made(api, admin)
    for path, method in ((CLUSTERS, "POST"), (BACKBONES, "POST"), (f"{CLUSTERS}/eu", "PUT"), (f"{BACKBONES}/{own['id']}", "PUT")):
        answer = await api.ask(admin, path, method, content=body)
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["errors"]


async def test_everything_is_described_when_openapi_is_asked(api: Api) -> None:
    from functions.registry_crud.main import rest

    document = rest(api.resources).openapi()
    operations = {(path, method) for path, item in document["paths"].items() for method in item}
    assert operations == {
        *((path, method) for path in (CLUSTERS, BACKBONES) for method in ("get", "post")),
        *((path, method) for path in (CLUSTERS + "/{name}", BACKBONES + "/{id}") for method in ("get", "put", "delete")),
        (BACKBONES + "/{id}/events", "get"),
        *((BACKBONES + "/{id}/credentials", method) for method in ("get", "post")),
        (BACKBONES + "/{id}/credentials/{credential}", "delete"),
        ("/v1/resolve", "get"),
        ("/v1/registry/snapshot", "get"),
    }
    assert {"Spec", "Status", "BackboneBody", "ClusterBody", "Access"} <= document["components"]["schemas"].keys()
