"""The sources on a cluster: what is pushed to a Redis list or published to a NATS subject is in the log, in the store and on the backbone,
and its sender is told so; inline, and behind a Broker, where they hand it to ingest."""

import json
from typing import Any

import psycopg
import pytest
import redis

from tests.cluster.conftest import Took
from tests.cluster.install import BROKERED, INLINE, Install
from tests.faults import ledger
from tests.integration.nats_source.conftest import Agent, connected, event, headers, served
from tests.waiting import eventually

WIRINGS = pytest.mark.parametrize("wiring", [INLINE, BROKERED], ids=["inline", "brokered"])
COUNT = 50
ROWS = "SELECT id::text, event_id, door, principal, verdict, rule FROM messages WHERE org = %s ORDER BY event_id"


def told(receipts: list[dict[str, Any]]) -> set[tuple[str, str | None]]:
    """Status and rule of each receipt."""
    return {(one["status"], one.get("problem", {}).get("rule")) for one in receipts}


async def logged(install: Install, org: str, wiring: str, principal: str, receipts: list[dict[str, Any]], door: str) -> None:
    """Every receipt has its row, every accepted one its delivery; `door` is the door's name where it judges itself, else ingest's."""
    accepted = {one["id"] for one in receipts if one["status"] == "accepted"}
    assert len(accepted) == COUNT

    def stored() -> bool:
        with psycopg.connect(install.server("database_url")) as connection:
            rows = connection.execute(ROWS, (org,)).fetchall()
        assert {(verdict, rule) for *_, verdict, rule in rows} == {("accepted", None), ("blocked", "org")}
        assert {id for id, *_, verdict, _ in rows if verdict == "accepted"} == accepted
        assert len(rows) == COUNT + 1
        assert {(entered, sender) for _, _, entered, sender, _, _ in rows} == {(door if wiring == INLINE else "http", principal)}
        return True

    await eventually(stored, within=60)
    await eventually(lambda: accepted <= ledger.delivered(install.server("database_url")), within=60)
    assert set(await ledger.streamed(install.server("nats_url"), f"sb-{org}")) == accepted


@WIRINGS
async def test_pushed_event_is_logged_and_its_sender_is_told_when_redis_source_takes_it(
    install: Install, org: str, took: Took, wiring: str
) -> None:
    install.has(wiring)
    install.new_key("admin", org, "action=admin")
    place = f"sb:receipts:{{{org}}}:cluster"
    lists = redis.Redis.from_url(install.server("redis_url"), socket_timeout=None)
    events = [json.loads(event(f"r{number}", replyto=place)) for number in range(COUNT)]
    lists.lpush(f"sb:submit:{{{org}}}", json.dumps(events[:10]), *map(json.dumps, events[10:]))
    lists.lpush(f"sb:submit:{{{org}}}", event("r-blocked", org="default", replyto=place), b"no event")
    await eventually(lambda: lists.llen(place) == COUNT + 1, within=120)
    receipts = [json.loads(one) for one in lists.lrange(place, 0, -1)]
    assert told(receipts) == {("accepted", None), ("blocked", "org")}
    await eventually(lambda: lists.llen(f"sb:rejected:{{{org}}}") == 1, within=30)
    await eventually(lambda: lists.llen(f"sb:submit:{{{org}}}") == 0, within=30)
    lists.close()
    await logged(install, org, wiring, f"redis:{org}", receipts, "redis")


@WIRINGS
async def test_published_event_is_logged_and_its_sender_is_told_when_nats_source_takes_it(install: Install, org: str, wiring: str) -> None:
    install.has(wiring)
    install.new_key("admin", org, "action=admin")
    async with connected(install.server("nats_url"), org) as agent:
        await served(agent, within=60)
        for number in range(COUNT):
            await agent.submit("orders.x", b'{"sku":"a"}', headers(f"n{number}"))
        await agent.submit("orders.x", b"{}", headers("n-blocked", org="default"))
        await agent.submit("orders.x", b"no event", {"content-type": "application/cloudevents+json"})
        await eventually(lambda: len(agent.receipts) == COUNT + 2, within=120)
        receipts = [one for one in agent.receipts if one["status"] != "malformed"]
        assert told(receipts) == {("accepted", None), ("blocked", "org")}
        await eventually(lambda: emptied(agent), within=30)
        await logged(install, org, wiring, f"nats:{org}", receipts, "nats")
        asked = await agent.ask("orders.x", event("n-asked"))
        assert asked["status"] == ("accepted" if wiring == INLINE else "received")


async def emptied(agent: Agent) -> bool:
    """Whether the submit stream holds nothing any more, and the one of rejects what is no event."""
    jetstream = agent.client.jetstream()
    submitted, rejected = [await jetstream.stream_info(f"sb-{kind}-{agent.org}") for kind in ("submit", "rejected")]
    return submitted.state.messages == 0 and rejected.state.messages >= 1
