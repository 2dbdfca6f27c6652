"""The way of a message, resolved (contracts.md, "Registry"); on a registry in memory."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest_asyncio

from shared.domain.principal import Grant
from shared.domain.registry.shapes import Status
from shared.domain.revisions import Write
from tests.declared import BACKBONES, made, registering
from tests.rest import Api, problem
from tests.waiting import eventually


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with registering(tmp_path) as served:
        yield served


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


async def test_way_is_another_org_s_when_a_system_admin_asks_for_it(api: Api) -> None:
    root, admin = await api.key("root", "default", system=True), await api.key()
    own = await made(api, admin)
    rules = b'{"routes":[{"when":"principal.org == \\"acme\\"","to":["cluster:eu"]}]}'
    await api.config.write_documents("acme", Write("x", "org", {"org": rules}), "me")
    await eventually(lambda: "acme" in api.resources.snapshots.current.documents)
    told = (await api.ask(root, "/v1/resolve", params={"topic": "a", "org": "acme"})).json()
    assert (told["to"], told["backbones"][0]["backbone"], told["backbones"][0]["stream"]) == (["cluster:eu"], own["id"], "sb-acme")
    assert told == (await api.ask(admin, "/v1/resolve", params={"topic": "a", "org": "acme"})).json()
    assert (await api.ask(root, "/v1/resolve", params={"topic": "a"})).json()["backbones"][0]["stream"] == "sb-default"
    problem(await api.ask(admin, "/v1/resolve", params={"topic": "a", "org": "default"}), 403)
    problem(await api.ask(root, "/v1/resolve", params={"topic": "a", "org": "No Org"}), 400)
