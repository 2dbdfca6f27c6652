"""Tokens in the `Authorization` header of NATS messages: as good as keys, waited for while their issuer's keys are not to be had."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.doors.doors import logged
from tests.integration.fronts import environment, new_key
from tests.integration.issuers import bearer, put_issuer
from tests.integration.nats_source.conftest import Agent, connected, event, headers, served
from tests.integration.services import Service, serving
from tests.tokens import KeyServer, jwk
from tests.waiting import eventually

WITHIN = 60.0  # seconds: a failed fetch of keys is tried again after ten


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with KeyServer(jwk("k1")).running() as running:
        yield running


def token(**said: object) -> dict[str, str]:
    """The header with a token of the group `orders`, which may publish on `orders.>`."""
    return {"Authorization": bearer(groups=["orders"], **said)["authorization"]}


async def taken(agent: Agent) -> None:
    """Returns once the issuer's tokens are taken."""

    async def accepted() -> bool:
        return (await agent.ask("orders.new", b"{}", headers("probe") | token()))["status"] in ("accepted", "received")

    await eventually(accepted, WITHIN)


async def test_tokens_principal_sends_with_its_grants_when_a_message_has_a_token(
    tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str, keys: KeyServer
) -> None:
    await new_key(database, org)
    await put_issuer(database, org, keys.url)
    with serving(Service("nats_source", environment(tmp_path, redis_url, nats_url, database), tmp_path)):
        async with connected(nats_url, org) as agent:
            await served(agent)
            await taken(agent)
            assert (await agent.ask("orders.new", b"{}", headers("asked") | token(sub="alice")))["status"] == "accepted"
            refused = await agent.ask("pay.out", b"{}", headers("outside") | token(sub="alice"))
            assert (refused["status"], refused["problem"]["rule"]) == ("blocked", "grant")
            over = await agent.ask("orders.new", b"{}", headers("over") | token(exp=int(time.time()) - 60))
            assert (over["problem"]["status"], over["problem"]["detail"]) == (401, "the token has expired")
            await agent.submit("orders.new", b"{}", headers("submitted") | token(sub="bob"))
            await agent.submit("orders.new", b"{}", headers("late") | token(exp=int(time.time()) - 60))
            await eventually(lambda: len(agent.receipts) == 2, WITHIN)
            assert [receipt.get("problem", {}).get("status", 202) for receipt in agent.receipts] == [202, 401]
            rejected = await agent.client.jetstream().get_last_msg(f"sb-rejected-{org}", f"sb._rejected.{org}")
            assert rejected.headers is not None
            assert "the token has expired" in rejected.headers["sb-reason"].replace("%20", " ")
    found = logged(redis_url)
    assert {id: found[id][0].message.principal for id in ("asked", "submitted")} == {"asked": "idp/alice", "submitted": "idp/bob"}
    assert "over" not in found


async def test_submitted_events_wait_in_their_order_when_the_keys_of_a_token_are_not_to_be_had(
    tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str, keys: KeyServer
) -> None:
    await new_key(database, org)
    keys.status = 503
    await put_issuer(database, org, keys.url)
    source = Service("nats_source", environment(tmp_path, redis_url, nats_url, database), tmp_path)
    with serving(source):
        async with connected(nats_url, org) as agent, httpx.AsyncClient(base_url=source.url) as client:
            await served(agent)
            asked = await agent.ask("orders.new", b"{}", headers("asked") | token())
            assert (asked["status"], asked["problem"]["status"]) == ("unavailable", 503)
            await agent.submit("orders.new", b"{}", headers("1") | token(exp=int(time.time()) + 600))
            await agent.submit("orders.new", b"{}", headers("2"))

            async def in_hand() -> bool:
                return "switchboard_nats_source_in_hand 2.0" in (await client.get("/metrics")).text

            await eventually(in_hand, WITHIN)
            assert agent.receipts == []
            keys.status = 200
            await eventually(lambda: len(agent.receipts) == 2, WITHIN)
            first, second = (receipt["deliveries"][0]["sequence"] for receipt in agent.receipts)
            assert first < second
    found = logged(redis_url)
    assert [found[id][0].message.principal for id in "12"] == ["idp/shop", f"nats:{org}"]
    assert "asked" not in found


async def test_sink_believes_the_tokens_principal_and_its_grants_when_the_source_has_one(
    tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str, keys: KeyServer
) -> None:
    """The sink is ingest itself."""
    settings = environment(tmp_path, redis_url, nats_url, database)
    await new_key(database, org)
    await put_issuer(database, org, keys.url)
    sink = Service("ingest", settings, tmp_path)
    with serving(sink, Service("nats_source", {**settings, "K_SINK": f"{sink.url}/v1/events"}, tmp_path)):
        async with connected(nats_url, org) as agent:
            await served(agent)
            await taken(agent)
            await agent.submit(
                "orders.new", event("submitted"), {"Content-Type": "application/cloudevents+json"} | token(sub="\u00e4 alice")
            )
            await eventually(lambda: "submitted" in logged(redis_url), WITHIN)
            refused = await agent.ask("pay.out", event("outside"), {"Content-Type": "application/cloudevents+json"} | token())
            assert (refused["status"], refused["problem"]["rule"]) == ("blocked", "sink")
            assert "403" in refused["problem"]["detail"]
    found = logged(redis_url)
    assert (found["submitted"][0].message.principal, found["submitted"][0].message.door) == ("idp/\u00e4 alice", "http")
