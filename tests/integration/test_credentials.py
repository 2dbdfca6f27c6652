"""Credentials of agents on real servers, from the API to the last subject: what one may do, and what an attacker with one may not."""

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.errors import Error

from shared.adapters.postgres import PostgresRegistry
from shared.domain.registry.deciding import Change
from shared.domain.registry.shapes import SHARED, Backbone, Spec
from tests.integration.running_up import RunningUp, product_up
from tests.integration.test_local_backbones import At, at_of, declared, has_stream, is_gone, ready, sent, subjects, switchboard
from tests.nats_agents import connected, heard
from tests.waiting import eventually, eventually_now

WITHIN = 60.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    """A `switchboard up` of the module's own."""
    with product_up(tmp_path_factory.mktemp("agents")) as running:
        yield running


@pytest.fixture(scope="module")
def client(running: RunningUp) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client


@pytest.fixture(scope="module")
def backbone(client: httpx.Client) -> dict[str, Any]:
    """A shared backbone of this machine that all messages go to; the org has one message for agent-7 and one for agent-8, each topic."""
    id = declared(client, "agents", "main", "local")
    client.put("/v1/config/org", json={"routes": [{"to": ["cluster:agents"]}]}).raise_for_status()
    found = ready(client, id)
    for subject in ("agent-7", "agent-8"):
        assert eventually_now(partial(sent, client, f"first-{subject}", subject), within=WITHIN)
    return found


def given(client: httpx.Client, id: str, name: str, *grants: dict[str, Any]) -> dict[str, Any]:
    """New credentials of a principal that has these grants."""
    client.put(f"/v1/config/principals/{name}", json={"grants": list(grants)}).raise_for_status()
    answer = client.post(f"/v1/backbones/{id}/credentials", json={"principal": name})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def asked(client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
    """The API's answer, from a test that waits for other things besides."""
    return client.request(method, path, **more)


def reads(subject: str = "*", topic: str = ">") -> dict[str, Any]:
    return {"action": "read", "topics": [topic], "subjects": [subject]}


def consumer(org: str, name: str, **more: Any) -> dict[str, Any]:
    return {"stream_name": f"sb-{org}", "config": {"durable_name": name, "ack_policy": "explicit", **more}}


async def test_agent_receives_and_acknowledges_its_own_when_it_has_credentials(client: httpx.Client, backbone: dict[str, Any]) -> None:
    made = given(client, backbone["id"], "agent-7", reads("agent-7"))
    assert (made["filters"], made["inbox_prefix"], made["streams"]) == (
        ["sb.default.agent-7.>"],
        "_INBOX.default.agent-7",
        ["sb-default", "sbg-default"],
    )
    assert made["consumers"] == ["agent-7", *(f"agent-7-{number}" for number in range(2, 9))]
    async with connected(made) as agent:
        assert await heard(agent, "agent-7", "sb.default.agent-7.>", "sb-default") == ["sb.default.agent-7.order.made"]
        assert await heard(agent, "agent-7-8", "sb.default.agent-7.order.made", "sb-default") == ["sb.default.agent-7.order.made"]
        for door in ("submit.default.order", "request.default.order"):
            assert await agent.asks(door, b"{}") == {"nobody": True}  # the door is on the home backbone's server; it was let through
        assert agent.refused == []


async def test_attacker_gets_nothing_else_when_it_has_credentials(client: httpx.Client, backbone: dict[str, Any]) -> None:
    id = backbone["id"]
    victim = given(client, id, "agent-8", reads("agent-8"))
    async with connected(victim) as other:
        held = await other.connection.jetstream().pull_subscribe("sb.default.agent-8.>", durable="agent-8", stream="sb-default")
        [message] = await held.fetch(1, timeout=WITHIN)
        async with connected(given(client, id, "mallory", reads("mallory", "notes.>"))) as agent:
            own, api = "sb.default.mallory.notes.>", "$JS.API"
            create = f"{api}.CONSUMER.CREATE.sb-default"
            # Whose messages a consumer gets is said once more in its configuration: that may not differ.
            allowed = f"{create}.mallory.{own}"
            for more in (
                {"filter_subject": "sb.default.>"},
                {"filter_subject": "sb.default.agent-8.>"},
                {"filter_subjects": [own, "sb.default.agent-8.>"]},
                {"filter_subjects": ["sb.default.agent-8.>"]},
                {},
            ):
                assert (await agent.asks(allowed, consumer("default", "mallory", **more)) or {}).get("error"), more
            for subject, body in (
                (f"{create}.mallory.sb.default.agent-8.>", consumer("default", "mallory", filter_subject="sb.default.agent-8.>")),
                (f"{create}.mallory.sb.default.mallory.>", consumer("default", "mallory", filter_subject="sb.default.mallory.>")),
                (f"{create}.mallory.sb.default.>", consumer("default", "mallory", filter_subject="sb.default.>")),
                (f"{create}.mallory", consumer("default", "mallory", filter_subjects=["sb.default.>"])),
                (f"{create}.other.{own}", consumer("default", "other", filter_subject=own)),
                (f"{create}.mallory-9.{own}", consumer("default", "mallory-9", filter_subject=own)),
                (f"{create}", consumer("default", "mallory", filter_subject="sb.default.>")),
                (f"{api}.CONSUMER.DURABLE.CREATE.sb-default.mallory", consumer("default", "mallory", filter_subject="sb.default.>")),
                (f"{api}.CONSUMER.CREATE.sb-beta.mallory.sb.beta.>", consumer("beta", "mallory", filter_subject="sb.beta.>")),
                (f"{api}.CONSUMER.MSG.NEXT.sb-default.agent-8", b"1"),
                (f"{api}.CONSUMER.INFO.sb-default.agent-8", b""),
                (f"{api}.CONSUMER.DELETE.sb-default.agent-8", b""),
                (f"{api}.CONSUMER.NAMES.sb-default", b""),
                (f"{api}.CONSUMER.LIST.sb-default", b""),
                (f"{api}.CONSUMER.PAUSE.sb-default.mallory", b""),
                (f"{api}.CONSUMER.LEADER.STEPDOWN.sb-default.agent-8", b""),
                (f"{api}.STREAM.PURGE.sb-default", b""),
                (f"{api}.STREAM.DELETE.sb-default", b""),
                (f"{api}.STREAM.INFO.sb-default", b""),
                (f"{api}.STREAM.NAMES", b""),
                (f"{api}.STREAM.CREATE.mine", {"name": "mine", "sources": [{"name": "sb-default"}]}),
                (f"{api}.STREAM.UPDATE.sb-default", {"name": "sb-default", "subjects": ["x"]}),
                (f"{api}.STREAM.MSG.GET.sb-default", {"seq": 1}),
                (f"{api}.STREAM.MSG.DELETE.sb-default", {"seq": 1}),
                (f"{api}.STREAM.SNAPSHOT.sb-default", {"deliver_subject": "_INBOX.default.mallory.x"}),
                (f"{api}.DIRECT.GET.sb-default", {"seq": 1}),
                (f"{api}.DIRECT.GET.sb-default.sb.default.agent-8.order.made", b""),
                (f"{api}.INFO", b""),
                (f"$JS.{id}.API.STREAM.PURGE.sb-default", b""),
                (f"$JS.{id}.API.CONSUMER.MSG.NEXT.sb-default.agent-8", b"1"),
                (message.reply, b"+TERM"),  # another's message, acknowledged
                ("sb.default.agent-8.forged", b"{}"),
                ("sbg.default.agent-8.forged", b"{}"),
                ("submit.beta.order", b"{}"),
                ("request.beta.order", b"{}"),
                ("_INBOX.default.agent-8.x", b"forged"),
                ("$SYS.REQ.SERVER.PING", b""),
                ("$SYS.REQ.ACCOUNT.PING.CONNZ", b""),
                ("$SYS.REQ.CLAIMS.UPDATE", b""),
            ):
                assert await agent.asks(subject, body) is None, subject
            for subject in (
                "sb.default.agent-8.>",
                "sb.default.mallory.notes.>",  # the stream's, and by a consumer alone
                "sb.>",
                ">",
                "_INBOX.>",
                "_INBOX.default.>",
                "_INBOX.default.agent-8.>",
                "_INBOX.default.mallory",
                "submit.default.>",
                "request.default.>",
                "$SYS.>",
                "$JS.>",
                "$JS.EVENT.ADVISORY.>",
            ):
                assert await agent.hears_nothing_of(subject), subject
            assert (await agent.asks(allowed, consumer("default", "mallory", filter_subject=own)) or {})["name"] == "mallory"
        await message.ack_sync(timeout=WITHIN)  # it was still the victim's to acknowledge
        assert other.refused == []


async def test_push_to_anothers_stream_stores_nothing_when_a_consumer_asks_for_it(client: httpx.Client, backbone: dict[str, Any]) -> None:
    """A stream listens with a wildcard: to the server that is nobody who waits for a consumer's messages."""
    async with connected(given(client, backbone["id"], "pusher", reads("agent-7"))) as agent:
        subject = "$JS.API.CONSUMER.CREATE.sb-default.pusher.sb.default.agent-7.>"
        wanted = {"filter_subject": "sb.default.agent-7.>", "deliver_subject": "sb.default.agent-8.forged"}
        answer = await agent.asks(subject, consumer("default", "pusher", **wanted)) or {}
        assert "cycle" in answer["error"]["description"]


async def test_it_is_disconnected_and_let_in_no_more_when_its_credentials_are_revoked(
    client: httpx.Client, backbone: dict[str, Any]
) -> None:
    id = backbone["id"]
    first, second = (given(client, id, "leaver", reads("agent-7")) for _ in range(2))
    async with connected(first) as agent, connected(second) as stays:
        assert asked(client, "DELETE", f"/v1/backbones/{id}/credentials/{first['id']}").status_code == 204
        await eventually(lambda: agent.connection.is_closed, within=WITHIN)
        with pytest.raises(Error, match=r"(?i)authorization"):
            async with connected(first):
                pass
        assert stays.connection.is_connected
    [one] = [one for one in asked(client, "GET", f"/v1/backbones/{id}/credentials").json()["items"] if one["id"] == first["id"]]
    assert (one["revoked"] is not None, one["why"], "seed" in one, "jwt" in one) == (True, "by admin", False, False)
    actions = [one["action"] for one in asked(client, "GET", "/v1/config/revisions").json()["items"] if first["id"] in one["path"]]
    assert actions == ["credential.revoke", "credential.create"]


async def test_it_loses_its_connection_when_its_principal_loses_grants_or_is_removed(
    client: httpx.Client, backbone: dict[str, Any]
) -> None:
    id = backbone["id"]
    fewer, gone, more = (given(client, id, name, reads("agent-7"), reads("agent-8")) for name in ("fewer", "gone", "more"))
    async with connected(fewer) as loses, connected(gone) as removed, connected(more) as keeps:
        asked(client, "PUT", "/v1/config/principals/more", json={"grants": [reads()]}).raise_for_status()
        asked(client, "PUT", "/v1/config/principals/fewer", json={"grants": [reads("agent-7")]}).raise_for_status()
        asked(client, "DELETE", "/v1/config/principals/gone").raise_for_status()
        await eventually(lambda: loses.connection.is_closed and removed.connection.is_closed, within=WITHIN)
        assert keeps.connection.is_connected
    why = {
        one["principal"]: one["why"] for one in asked(client, "GET", f"/v1/backbones/{id}/credentials").json()["items"] if one["revoked"]
    }
    assert (why["fewer"], why["gone"]) == ("the principal lost grants", "the principal was removed")


async def test_nothing_comes_back_when_servers_start_anew_after_a_revocation(running: RunningUp, client: httpx.Client) -> None:
    id = declared(client, "agents", "again", "local", replicas=3)
    found = ready(client, id)
    revoked, kept = given(client, id, "comes", reads("agent-7")), given(client, id, "stays", reads("agent-7"))
    assert asked(client, "DELETE", f"/v1/backbones/{id}/credentials/{revoked['id']}").status_code == 204

    async def refused() -> bool:
        for server in found["endpoint"].split(","):
            try:
                async with connected(revoked | {"endpoint": server}):
                    return False
            except Error:
                continue
        return True

    await eventually(refused, within=WITHIN)
    changed = asked(
        client, "PUT", f"/v1/backbones/{id}", json=found | {"spec": {"replicas": 3, "values": {"limits": {"maxPayload": "2MB"}}}}
    )
    assert changed.status_code == 202
    eventually_now(lambda: ready(client, id)["status"]["observed_generation"] == 2, within=WITHIN)
    assert await refused()
    for server in found["endpoint"].split(","):
        async with connected(kept | {"endpoint": server}) as agent:
            assert agent.connection.max_payload == 2 * 1024**2
    assert asked(client, "DELETE", f"/v1/backbones/{id}").status_code == 202
    eventually_now(partial(is_gone, client, id), within=WITHIN)
    assert asked(client, "GET", f"/v1/backbones/{id}/credentials").status_code == 404


@pytest.mark.parametrize(
    ("id", "body", "status", "pointer"),
    [
        (None, {"principal": ""}, 400, "/principal"),
        (None, {"principal": 7}, 400, "/principal"),
        (None, {}, 400, "/principal"),
        (None, {"principal": "agent-7", "days": 400}, 400, "/days"),
        (None, [], 400, ""),
        (None, {"principal": "nobody"}, 404, None),
        (None, {"principal": "star"}, 422, "/principal"),
        ("never-was", {"principal": "agent-7"}, 404, None),
        ("local", {"principal": "agent-7"}, 404, None),
    ],
)
def test_request_is_refused_with_a_pointer_when_it_can_not_be_met(
    client: httpx.Client, backbone: dict[str, Any], id: str | None, body: Any, status: int, pointer: str | None
) -> None:
    asked(client, "PUT", "/v1/config/principals/star", json={"grants": [reads("agent-7", "orders.*")]}).raise_for_status()
    answer = client.post(f"/v1/backbones/{id or backbone['id']}/credentials", json=body)
    assert answer.status_code == status, answer.text
    assert [fault["pointer"] for fault in answer.json().get("errors", [])] == ([] if pointer is None else [pointer])
    if id == "local":
        assert "declare a backbone" in answer.json()["detail"]


def test_consumer_is_one_principals_when_two_have_names_alike(client: httpx.Client, backbone: dict[str, Any]) -> None:
    made = given(client, backbone["id"], "twin", reads("agent-7"))
    assert "twin-2" in made["consumers"]
    asked(client, "PUT", "/v1/config/principals/twin-2", json={"grants": [reads("agent-7")]}).raise_for_status()
    path = f"/v1/backbones/{backbone['id']}/credentials"
    assert client.post(path, json={"principal": "twin-2"}).status_code == 422
    asked(client, "DELETE", f"{path}/{made['id']}").raise_for_status()
    assert client.post(path, json={"principal": "twin-2"}).json()["consumers"][0] == "twin-2"
    assert "twin-2" not in client.post(path, json={"principal": "twin"}).json()["consumers"]


def test_commands_give_list_use_and_revoke_when_a_person_uses_them(
    running: RunningUp, client: httpx.Client, backbone: dict[str, Any], tmp_path: Path
) -> None:
    def said(*arguments: str, exits: int = 0) -> str:
        done = switchboard(running, *arguments, exits=exits)
        return done.stderr if exits else done.stdout

    client.put("/v1/config/principals/reader", json={"grants": [reads("agent-7")]}).raise_for_status()
    id, file = backbone["id"], tmp_path / "reader.creds"
    made = said("backbone", "credentials", id, "reader", "--out", str(file)).strip()
    assert (file.stat().st_mode & 0o777, "SEED" in file.read_text()) == (0o600, True)
    [line] = said("listen", "--credentials", str(file), "--all", "--count", "1", "-o", "json").splitlines()
    assert (json.loads(line)["id"], json.loads(line)["subject"]) == ("first-agent-7", "agent-7")
    assert "sb.default.agent-8.>" in said("listen", "--credentials", str(file), "--subject", "agent-8", exits=77)
    assert "reader-8" in said("listen", "--credentials", str(file), "--durable", "other", exits=65)
    with pytest.MonkeyPatch.context() as shell:  # as after `eval "$(switchboard env)"`: the credentials' own backbone is meant all the same
        shell.setenv("SWITCHBOARD_NATS_URL", str(running.endpoints()["nats"]))
        assert said("listen", "--credentials", str(file), "--durable", "reader-2", "--all", "--count", "1", "-o", "json") == f"{line}\n"
    assert "can't be made" in said("backbone", "credentials", id, "reader", "--out", str(file), exits=65)
    [row] = [one for one in json.loads(said("backbone", "credentials", id, "-o", "json")) if one["principal"] == "reader"]
    assert (row["id"], row["revoked"]) == (made, None)
    said("backbone", "credentials", id, "--revoke", made, "--reason", "it left")
    [row] = [one for one in json.loads(said("backbone", "credentials", id, "-o", "json")) if one["principal"] == "reader"]
    assert row["why"] == "it left"


def declared_before(running: RunningUp, cluster: str, id: str, scope: str) -> None:
    """A shared backbone as the release before declared it: without keys."""
    name = id.partition("-")[0]
    found = Backbone(id, SHARED, cluster, name, "global" if scope == "global" else "local", None, None, Spec(), {})

    async def write() -> None:
        registry = PostgresRegistry(json.loads((running.state / "endpoints.json").read_text())["database"])
        try:
            await registry.write(Change("backbone.add", found, 0), "the release before")
        finally:
            await registry.stop()

    asyncio.run(write())


def test_backbone_keeps_its_password_and_takes_new_leaves_when_it_was_declared_by_the_release_before(
    running: RunningUp, client: httpx.Client
) -> None:
    for cluster in ("before", "after"):
        client.put(f"/v1/clusters/{cluster}", json={"provider": "local", "org": None}).raise_for_status()
    declared_before(running, "before", "hub-0badcafe", "global")
    hub = ready(client, "hub-0badcafe")
    user, _, password = (running.state / "backbones" / "credentials" / hub["id"]).read_text().strip().partition(":")
    client.put("/v1/config/principals/late", json={"grants": [reads("agent-7")]}).raise_for_status()
    refused = client.post(f"/v1/backbones/{hub['id']}/credentials", json={"principal": "late"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "id")

    revision = client.put("/v1/config/org", json={"routes": [{"to": ["global"]}]}).raise_for_status().headers["etag"].strip('"')
    declared_before(running, "before", "old-0badcafe", "local")
    leaves = ready(client, "old-0badcafe"), ready(client, declared(client, "after", "new", "local"))
    resolved = partial(client.get, "/v1/resolve", params={"topic": "order.made"})
    eventually_now(lambda: resolved().json()["config_revision"] >= int(revision), within=WITHIN)  # the door has it, in the same process
    assert eventually_now(partial(sent, client, "for-all", "agent-7"), within=WITHIN)

    at = At(hub["endpoint"].split(","), {"user": user, "password": password})
    assert subjects(at, "sb-default") == ["sb.default.agent-7.order.made"]
    old = (running.state / "backbones" / "credentials" / leaves[0]["id"]).read_text().strip().partition(":")
    for place in (At(leaves[0]["endpoint"].split(","), {"user": old[0], "password": old[2]}), at_of(running, leaves[1])):
        eventually_now(partial(has_stream, place, "sbg-default"), within=WITHIN)
        eventually_now(lambda place=place: subjects(place, "sbg-default") == ["sbg.default.agent-7.order.made"], within=WITHIN)  # type: ignore[misc]
    made = client.post(f"/v1/backbones/{leaves[1]['id']}/credentials", json={"principal": "late"}).json()
    assert asyncio.run(heard_on_leaf(made)) == "sbg.default.agent-7.order.made"
    client.put("/v1/config/org", json={}).raise_for_status()
    for id in (leaves[0]["id"], leaves[1]["id"], hub["id"]):
        client.delete(f"/v1/backbones/{id}").raise_for_status()
        eventually_now(partial(is_gone, client, id), within=WITHIN)


async def heard_on_leaf(made: dict[str, Any]) -> str:
    """The subject of the message that an agent has there from a hub."""
    async with connected(made) as agent:
        stream = agent.connection.jetstream()
        pulled = await stream.pull_subscribe("sbg.default.agent-7.>", durable=made["principal"], stream="sbg-default")
        [message] = await pulled.fetch(1, timeout=WITHIN)
        await message.ack_sync(timeout=WITHIN)
        return message.subject
