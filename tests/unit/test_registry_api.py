"""Clusters and backbones over REST (contracts.md, "Registry"); on a registry in memory."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from cloudevents.http import from_http

from functions.registry_crud.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.principal import Grant
from shared.domain.registry.shapes import Condition, Status
from shared.domain.revisions import Write
from tests.rest import Api, problem, serving
from tests.waiting import eventually

CLUSTERS, BACKBONES = "/v1/clusters", "/v1/backbones"
EU = {
    "name": "eu",
    "provider": "helm",
    "region": "west",
    "access": {"kubeconfig_secret": "acme.eu"},
    "metadata": {"tier": [1, {"a": None}]},
}
MAIN = {"cluster": "eu", "name": "main", "endpoint": "nats://nats.eu.example", "metadata": {"version": "2.11", "any": {"thing": 1}}}


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


async def made(api: Api, key: str, **more: Any) -> Any:
    """A backbone of the caller's, in a cluster eu that is made where it is missing."""
    if (await api.ask(key, f"{CLUSTERS}/eu")).status_code == 404:
        assert (await api.ask(key, CLUSTERS, "POST", json=EU)).status_code == 202
    answer = await api.ask(key, BACKBONES, "POST", json=MAIN | more)
    assert answer.status_code == 202, answer.text
    return answer.json()


# ---- clusters -------------------------------------------------------------------------------------------------------------------


async def test_cluster_is_declared_read_replaced_and_forgotten(api: Api) -> None:
    admin = await api.key()
    answer = await api.ask(admin, CLUSTERS, "POST", json=EU, headers={"switchboard-reason": "new land"})
    assert (answer.status_code, answer.headers["location"]) == (202, f"{CLUSTERS}/eu")
    shown = {**EU, "org": "acme", "conditions": []}
    assert answer.json() == shown
    read = await api.ask(admin, answer.headers["location"])
    assert (read.json(), read.headers["etag"]) == (shown, answer.headers["etag"])
    [revision] = await api.config.revisions("acme", 1)
    assert (revision.action, revision.path, revision.reason) == ("cluster.add", "clusters/eu", "new land")
    assert f'"{revision.revision}"' == read.headers["etag"]
    changed = await api.ask(
        admin, f"{CLUSTERS}/eu", "PUT", json=read.json() | {"region": "east"}, headers={"if-match": read.headers["etag"]}
    )
    assert (changed.status_code, changed.json()["region"]) == (202, "east")
    same = await api.ask(admin, f"{CLUSTERS}/eu", "PUT", json=changed.json())
    assert (same.status_code, same.headers["etag"]) == (200, changed.headers["etag"])
    problem(await api.ask(admin, f"{CLUSTERS}/eu", "DELETE", headers={"if-match": read.headers["etag"]}), 412)
    assert (await api.ask(admin, f"{CLUSTERS}/eu", "DELETE")).status_code == 204
    problem(await api.ask(admin, f"{CLUSTERS}/eu"), 404)


async def test_cluster_is_made_by_put_once_when_it_says_so(api: Api) -> None:
    admin, new = await api.key(), {"if-none-match": "*"}
    assert (await api.ask(admin, f"{CLUSTERS}/eu", "PUT", json=EU, headers=new)).status_code == 202
    problem(await api.ask(admin, f"{CLUSTERS}/eu", "PUT", json=EU, headers=new), 412)
    problem(await api.ask(admin, CLUSTERS, "POST", json=EU), 422, "/name")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": "EU"}, "/name"),
        ({"name": None}, "/name"),
        ({"name": "a" * 41}, "/name"),
        ({"name": "eu\n"}, "/name"),
        ({"provider": "terraform"}, "/provider"),
        ({"provider": "local", "access": None}, "/provider"),
        ({"region": 7}, "/region"),
        ({"region": "a\u0000"}, "/region"),
        ({"metadata": []}, "/metadata"),
        ({"metadata": {"a": "x" * 20_000}}, "/metadata"),
        ({"nonsense": 1}, "/nonsense"),
        ({"access": None}, "/access"),
        ({"access": {}}, "/access"),
        ({"access": {"kubeconfig_secret": "acme.eu", "aws_secret": "switchboard/acme/eu"}}, "/access"),
        ({"access": {"kubeconfig": "apiVersion: v1"}}, "/access/kubeconfig"),
        (
            {"access": {"kubeconfig_secret": "apiVersion: v1\nusers: [{user: {exec: {}}}]"}},
            "/access/kubeconfig_secret",
        ),
        ({"access": {"kubeconfig_secret": "acme.../../etc/passwd"}}, "/access/kubeconfig_secret"),
        ({"access": {"kubeconfig_secret": "globex.eu"}}, "/access/kubeconfig_secret"),
        ({"access": {"kubeconfig_secret": "acme-eu"}}, "/access/kubeconfig_secret"),
        ({"access": {"aws_secret": "switchboard/globex/eu"}}, "/access/aws_secret"),
        ({"access": {"aws_secret": '{"a": 1}'}}, "/access/aws_secret"),
        ({"access": {"in_cluster": True}}, "/access/in_cluster"),
        ({"access": {"eks": {"name": "eu", "region": "eu-west-1"}}}, "/access/eks"),
        ({"access": {"eks": {"name": "eu"}}}, "/access/eks/region"),
        ({"access": {"eks": {"name": "eu\n", "region": "eu-west-1"}}}, "/access/eks/name"),
        ({"access": {"kubeconfig_secret": "acme.eu\n"}}, "/access/kubeconfig_secret"),
    ],
)
async def test_answer_names_the_field_when_a_cluster_cannot_be_so(api: Api, change: Any, pointer: str) -> None:
    answer = await api.ask(await api.key(), CLUSTERS, "POST", json=EU | change)
    assert pointer in [fault["pointer"] for fault in problem(answer, 422)["errors"]], answer.text
    assert await api.registry.registered() == {}


async def test_system_admins_say_how_any_cluster_is_got_at_and_others_do_not_see_it(api: Api) -> None:
    system, admin = await api.key("root", "ops", system=True), await api.key()
    for name, access in (("here", {"in_cluster": True}), ("far", {"eks": {"name": "far", "region": "eu-west-1"}})):
        body = {"name": name, "org": None, "provider": "helm", "access": access}
        assert (await api.ask(system, CLUSTERS, "POST", json=body)).status_code == 202
        assert (await api.ask(system, f"{CLUSTERS}/{name}")).json()["access"] == access
        seen = (await api.ask(admin, f"{CLUSTERS}/{name}")).json()
        assert (seen["org"], seen["access"]) == (None, None)
    assert (await api.ask(system, CLUSTERS, "POST", json={"name": "me", "org": None, "provider": "local"})).status_code == 202
    problem(await api.ask(admin, CLUSTERS, "POST", json=EU | {"org": None}), 403)
    problem(await api.ask(admin, CLUSTERS, "POST", json=EU | {"org": "globex"}), 403)
    problem(await api.ask(admin, f"{CLUSTERS}/far", "PUT", json=EU | {"name": "far"}), 403)
    problem(await api.ask(admin, f"{CLUSTERS}/far", "DELETE"), 403)
    problem(await api.ask(system, f"{CLUSTERS}/far", "PUT", json={"provider": "local"}), 422)


# ---- backbones ------------------------------------------------------------------------------------------------------------------


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
        ("/v1/resolve", "get"),
    }
    assert {"Spec", "Status", "BackboneBody", "ClusterBody", "Access"} <= document["components"]["schemas"].keys()


# ---- commands -------------------------------------------------------------------------------------------------------------------


async def command(api: Api, key: str | None, kind: str, subject: str | None, data: Any) -> httpx.Response:
    """The answer to a command, as a broker sends it."""
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": f"switchboard.backbone.{kind}", "data": data}
    event |= {} if subject is None else {"subject": subject}
    headers = {"content-type": "application/cloudevents+json", "prefer": "reply"}
    return await api.ask(key, "/", "POST", content=msgspec.json.encode(event), headers=headers)


def replied(answer: httpx.Response, kind: str) -> Any:
    """The data of a reply that is an event of that type."""
    assert answer.status_code == 200, answer.text
    event = from_http(dict(answer.headers), answer.content)
    assert (event["type"], event["source"]) == (f"switchboard.backbone.{kind}", "/clusters/local/registry-crud"), answer.text
    return event.data


async def test_command_does_what_its_rest_call_does(api: Api) -> None:
    admin = await api.key()
    await api.ask(admin, CLUSTERS, "POST", json=EU)
    added = replied(await command(api, admin, "add", None, {"backbone": MAIN, "reason": "why"}), "changed")
    assert (await api.ask(admin, f"{BACKBONES}/{added['id']}")).json() == added["backbone"]
    [revision] = await api.config.revisions("acme", 1)
    assert (revision.revision, revision.reason) == (added["revision"], "why")
    data = {"backbone": {"metadata": {"a": 1}}, "if_match": added["revision"]}
    updated = replied(await command(api, admin, "update", added["id"], data), "changed")
    assert (updated["backbone"]["metadata"], updated["changed"]) == ({"a": 1}, True)
    stale = replied(await command(api, admin, "remove", added["id"], {"if_match": added["revision"]}), "refused")
    assert (stale["status"], stale["etag"]) == (412, f'"{updated["revision"]}"')
    removed = replied(await command(api, admin, "remove", added["id"], {}), "changed")
    assert (removed["id"], removed["backbone"]) == (added["id"], None)


async def test_command_is_refused_by_an_event_when_the_rules_say_no(api: Api) -> None:
    admin, reader = await api.key(), await api.key("r", "acme", Grant("registry:read"))
    own = await made(api, admin)
    for key, kind, subject, data, status in (
        (reader, "remove", own["id"], {}, 403),
        (admin, "remove", "nothing", {}, 404),
        (admin, "add", None, {"backbone": MAIN | {"spec": {"replicas": 2}}}, 422),
        (admin, "add", None, {"backbone": MAIN}, 422),
    ):
        assert replied(await command(api, key, kind, subject, data), "refused")["status"] == status


@pytest.mark.parametrize(
    ("kind", "subject", "data", "pointer"),
    [
        ("add", None, {}, "/data/backbone"),
        ("update", None, {"backbone": {}}, "/subject"),
        ("remove", None, {}, "/subject"),
        ("remove", "main", {"nonsense": 1}, "/data/nonsense"),
        ("remove", "main", {"if_match": "x"}, "/data/if_match"),
        ("remove", "main", {"reason": "x" * 501}, "/data/reason"),
        ("remove", "main", [1], "/data"),
        ("destroy", "main", {}, "/type"),
    ],
)
async def test_command_is_malformed_when_it_cannot_be_read(api: Api, kind: str, subject: str | None, data: Any, pointer: str) -> None:
    answer = await command(api, await api.key(), kind, subject, data)
    assert answer.status_code in (200, 400)
    told = answer.json()
    assert (told["status"], [fault["pointer"] for fault in told["errors"]]) == (400, [pointer])


async def test_command_is_answered_by_a_status_when_nobody_known_sent_it(api: Api) -> None:
    problem(await command(api, None, "remove", "main", {}), 401)


# ---- resolve --------------------------------------------------------------------------------------------------------------------


async def routed(api: Api, *routes: Any) -> None:
    """The org's routes, once they are in force."""
    number = await api.config.write_documents("acme", Write("put", "org", {"org": msgspec.json.encode({"routes": routes})}), "test")
    await eventually(lambda: api.resources.snapshots.current.revision >= number)


async def test_way_is_told_with_what_to_subscribe_to_when_it_is_asked_for(api: Api) -> None:
    admin = await api.key()
    own = await made(api, admin)
    await routed(api, {"when": 'message.subject == "agent 7"', "to": ["cluster:eu", "cluster:us"]}, {"to": ["local"]})
    answer = await api.ask(admin, "/v1/resolve", params={"topic": "orders.new", "subject": "agent 7"})
    told = answer.json()
    assert (answer.status_code, told["to"], told["routed_by"]) == (200, ["cluster:eu", "cluster:us"], "/routes/0")
    assert told["undeliverable"] == "no-route: cluster:us"
    assert told["backbones"] == [
        {
            "backbone": own["id"],
            "cluster": "eu",
            "scope": "local",
            "endpoint": "nats://nats.eu.example:4222",
            "stream": "sb-acme",
            "filter": "sb.acme.agent%207.orders.new",
            "command": "nats sub --server nats://nats.eu.example:4222 sb.acme.agent%207.orders.new",
            "leaves": [],
        }
    ]
    [home] = (await api.ask(admin, "/v1/resolve", params={"topic": "orders.new"})).json()["backbones"]
    assert (home["backbone"], home["cluster"], home["endpoint"], home["filter"]) == ("local", "local", None, "sb.acme._.orders.new")


async def test_way_names_the_leaves_and_what_to_listen_to_there_when_a_message_is_for_global(api: Api) -> None:
    admin = await api.key()
    leaf = await made(api, admin)
    hub = await made(api, admin, name="hub", scope="global", endpoint="nats://hub.eu.example")
    remote = {"values": {"leafnodes": {"remotes": [{"urls": ["nats-leaf://elsewhere.example:7422"]}]}}}
    await made(api, admin, name="apart", endpoint=None, spec=remote)
    await routed(api, {"to": ["global"]})
    await eventually(lambda: len(api.resources.snapshots.current.backbones) == 3)
    [told] = (await api.ask(admin, "/v1/resolve", params={"topic": "orders.new", "subject": "agent-7"})).json()["backbones"]
    assert (told["backbone"], told["stream"], told["filter"]) == (hub["id"], "sb-acme", "sb.acme.agent-7.orders.new")
    assert told["leaves"] == [
        {
            "backbone": leaf["id"],
            "cluster": "eu",
            "scope": "local",
            "endpoint": "nats://nats.eu.example:4222",
            "stream": "sbg-acme",
            "filter": "sbg.acme.agent-7.orders.new",
            "command": "nats sub --server nats://nats.eu.example:4222 sbg.acme.agent-7.orders.new",
        }
    ]


async def test_nothing_new_is_routed_to_a_backbone_when_it_is_to_go(api: Api) -> None:
    admin = await api.key()
    own = await made(api, admin)
    await api.registry.report("acme", f"backbones/{own['id']}", Status(1))
    await routed(api, {"to": [f"backbone:{own['id']}"]})
    assert (await api.ask(admin, "/v1/resolve", params={"topic": "a"})).json()["backbones"][0]["backbone"] == own["id"]
    await api.ask(admin, f"{BACKBONES}/{own['id']}", "DELETE")
    await eventually(lambda: api.resources.snapshots.current.backbones[0].deleting)
    told = (await api.ask(admin, "/v1/resolve", params={"topic": "a"})).json()
    assert (told["backbones"], told["undeliverable"]) == ([], "no-route")


async def test_way_is_for_those_who_may_read_or_publish_when_it_is_asked_for(api: Api) -> None:
    await api.key()
    agent = await api.key("agent", "acme", Grant("read", ("orders.>",), ("agent-7",)))
    assert (await api.ask(agent, "/v1/resolve", params={"topic": "orders.new", "subject": "agent-7"})).status_code == 200
    for params in ({"topic": "pay", "subject": "agent-7"}, {"topic": "orders.new", "subject": "agent-8"}):
        problem(await api.ask(agent, "/v1/resolve", params=params), 403)
    problem(await api.ask(agent, "/v1/resolve"), 400)
    problem(await api.ask(None, "/v1/resolve", params={"topic": "a"}), 401)
    problem(await api.ask(await api.key(), "/v1/resolve", params={"topic": "a" * 1024, "subject": "b"}), 400)
