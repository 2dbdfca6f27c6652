"""Tokens at running processes: their keys from a server, events in, a feed that ends with its token, and the check stage elsewhere."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.integration.doors.doors import logged
from tests.integration.fronts import FrontProcess, environment, fronting
from tests.integration.issuers import bearer, put_issuer
from tests.integration.services import Service, serving
from tests.tokens import KeyServer, jwk, token
from tests.waiting import eventually_now

EVENT = {"ce-specversion": "1.0", "ce-source": "/tokens", "ce-type": "orders.new", "content-type": "application/json"}


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with KeyServer(jwk("k1")).running() as running:
        yield running


def send(url: str, id: str, headers: dict[str, str], type: str = "orders.new") -> httpx.Response:
    return httpx.post(f"{url}/v1/events", headers={**EVENT, "ce-id": id, "ce-type": type, **headers}, content=b"{}", timeout=10)


@pytest.fixture
def front(tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str, keys: KeyServer) -> Iterator[FrontProcess]:
    """A front that takes the tokens of `keys`, and has its keys."""
    with fronting(tmp_path, environment(tmp_path, redis_url, nats_url, database), org) as running:
        asyncio.run(put_issuer(database, org, keys.url))
        eventually_now(lambda: keys.asked)
        eventually_now(lambda: send(running.url, "first", bearer(groups=["orders"])).status_code == 202)
        yield running


def test_event_is_from_the_tokens_principal_when_it_comes_with_one(front: FrontProcess) -> None:
    answer = send(front.url, "e1", bearer(groups=["orders"], sub="alice@example.com"))
    assert answer.status_code == 202
    refused = send(front.url, "e2", bearer(groups=["orders"]), "pay.out")
    assert (refused.status_code, refused.json()["rule"]) == (403, "grant")
    assert send(front.url, "e3", bearer(groups=["others"])).status_code == 403
    assert send(front.url, "e4", bearer(groups=["orders"], exp=int(time.time()) - 60)).status_code == 401
    unknown = send(front.url, "e5", {"authorization": f"Bearer {token('k9', groups=['orders'])}"})
    assert unknown.status_code in (401, 503)  # 503 while the issuer is asked for its keys
    assert unknown.status_code == 401 or int(unknown.headers["retry-after"]) > 0


async def _until_closed(feed: ClientConnection) -> AsyncIterator[str | bytes]:
    with suppress(ConnectionClosed):
        while True:
            yield await feed.recv()


async def test_feed_ends_when_its_token_expires(front: FrontProcess) -> None:
    expires = int(time.time()) + 5
    headers = bearer(groups=["orders"], exp=expires)
    url = f"ws{front.url.removeprefix('http')}/v1/feed?topic=orders.%3E"
    async with connect(url, additional_headers=headers) as feed:
        await asyncio.to_thread(send, front.url, "seen", bearer(groups=["orders"], sub="alice"))
        async with asyncio.timeout(30):
            frames = [json.loads(text) async for text in _until_closed(feed)]
        ended = time.time()
    assert feed.close_code == 1008
    assert ended >= expires
    assert "idp/alice" in {message["principal"] for frame in frames for message in frame.get("messages", ())}


async def test_events_door_ends_and_loses_nothing_it_answered_when_its_token_expires(front: FrontProcess, redis_url: str) -> None:
    expires = int(time.time()) + 5
    url = f"ws{front.url.removeprefix('http')}/v1/events"
    answered: list[str] = []
    headers = bearer(groups=["orders"], sub="bob", exp=expires)
    async with connect(url, additional_headers=headers, subprotocols=[Subprotocol("switchboard.events.v1")]) as socket:
        with suppress(ConnectionClosed):
            async with asyncio.timeout(30):
                for number in itertools.count():
                    one = {"specversion": "1.0", "id": f"ws-{number}", "source": "/tokens", "type": "orders.new"}
                    await socket.send(json.dumps(one))
                    (receipt,) = json.loads(await socket.recv())["receipts"]
                    assert receipt["status"] == "accepted", receipt
                    answered.append(one["id"])
        ended = time.time()
    assert socket.close_code == 1008
    assert ended >= expires
    records = logged(redis_url)
    assert {records[id][0].message.principal for id in answered} == {"idp/bob"}
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, additional_headers=headers, subprotocols=[Subprotocol("switchboard.events.v1")])
    assert refused.value.response.status_code == 401


def test_check_elsewhere_knows_a_tokens_grants_when_it_is_a_service(
    tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str, keys: KeyServer
) -> None:
    settings = environment(tmp_path, redis_url, nats_url, database)
    check = Service("check_constraints", settings, tmp_path)
    with serving(check):
        (tmp_path / "front").mkdir()
        with fronting(tmp_path / "front", settings | {"SWITCHBOARD_CHECK_URL": check.url}, org) as front:
            asyncio.run(put_issuer(database, org, keys.url))
            eventually_now(lambda: send(front.url, "first", bearer(groups=["orders"])).status_code == 202)
            refused = send(front.url, "second", bearer(groups=["orders"]), "pay.out")
            assert (refused.status_code, refused.json()["rule"]) == (403, "grant")
