"""Who is let in to running processes, and for how long: keys, grants, orgs, and what is signed with the secret."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from shared.domain.errors import Unauthenticated
from shared.session import COOKIE, open_session, seal, unseal
from tests.integration.fronts import FrontProcess
from tests.integration.installs import EVENT, PATIENCE, Install
from tests.waiting import eventually, eventually_now

IN_FORCE_S = 1.0
ROUNDS = 6  # of what takes a second at most where the machine has the time: one of them must


@asynccontextmanager
async def socket_of(front: FrontProcess, path: str, key: str, subprotocol: str) -> AsyncIterator[ClientConnection]:
    url = f"ws://127.0.0.1:{front.port}{path}"
    headers = {"authorization": f"Bearer {key}"}
    async with connect(url, additional_headers=headers, subprotocols=[Subprotocol(subprotocol)]) as socket:
        yield socket


async def closed(socket: ClientConnection) -> tuple[int | None, float]:
    """The code of the close that comes, and when it came."""
    async with asyncio.timeout(PATIENCE):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed:
            return socket.close_code, time.monotonic()


async def last_taken(front: FrontProcess, key: str, gone: asyncio.Event) -> float:
    """When the last request was sent that the front took with the key."""
    sent = time.monotonic()
    async with httpx.AsyncClient(base_url=front.url, headers={"authorization": f"Bearer {key}"}, timeout=PATIENCE) as client:
        while True:
            began = time.monotonic()
            headers = {**EVENT, "ce-id": uuid4().hex, "ce-type": "t"}
            answer = await client.post("/v1/events", headers=headers, content=b"{}")
            if answer.status_code == 202:
                sent = began
            elif gone.is_set():
                assert answer.status_code == 401, answer.text
                return sent


async def over_after(install: Install, key: str, end: Callable[[], httpx.Response]) -> float:
    """Seconds after `end` until requests with the key are refused at both fronts, and their sockets of both kinds are closed."""
    async with (
        socket_of(install.fronts[0], "/v1/events", key, "switchboard.events.v1") as door,
        socket_of(install.fronts[1], "/v1/events", key, "switchboard.events.v1") as other_door,
        socket_of(install.fronts[0], "/v1/feed?topic=%3E", key, "switchboard.feed.v1") as feed,
        socket_of(install.fronts[1], "/v1/feed?topic=%3E", key, "switchboard.feed.v1") as other_feed,
    ):
        gone = asyncio.Event()
        posting = [asyncio.create_task(last_taken(front, key, gone)) for front in install.fronts]
        for socket in (door, other_door):
            await socket.send(json.dumps({"specversion": "1.0", "id": uuid4().hex, "source": "/s", "type": "t"}))
            assert json.loads(await socket.recv())["receipts"][0]["status"] == "accepted"
        ending = await asyncio.to_thread(end)
        assert ending.is_success, ending.text
        began = time.monotonic()
        gone.set()
        ends = await asyncio.gather(*map(closed, (door, other_door, feed, other_feed)))
        taken = await asyncio.gather(*posting)
    assert {code for code, _ in ends} == {1008}
    return max(*(at for _, at in ends), *taken) - began


def test_key_and_sockets_are_refused_everywhere_within_a_second_when_the_key_is_revoked(install: Install) -> None:
    _, admin = install.org()
    took = []
    for number in range(ROUNDS):
        key_id, key = install.principal(admin, f"leaving-{number}", {"action": "publish"}, {"action": "read"})
        path = f"/v1/config/principals/leaving-{number}/keys/{key_id}"
        took.append(asyncio.run(over_after(install, key, partial(install.ask, admin, path, "DELETE"))))
        if took[-1] <= IN_FORCE_S:
            return
    pytest.fail(f"a revoked key was taken for {min(took):.2f} s at least")


def test_sockets_are_held_to_the_grants_that_their_principal_has_now(install: Install) -> None:
    _, admin = install.org()
    _, key = install.principal(admin, "shop", {"action": "publish"}, {"action": "read"})
    fewer = [{"action": action, "topics": ["b"]} for action in ("publish", "read")]

    async def run() -> None:
        async with (
            socket_of(install.fronts[0], "/v1/events", key, "switchboard.events.v1") as door,
            socket_of(install.fronts[1], "/v1/feed?topic=%3E", key, "switchboard.feed.v1") as feed,
        ):
            seen: list[str] = []
            watching = asyncio.create_task(watch(feed, seen))
            taken = await published(door, "a")
            await eventually(lambda: taken["id"] in seen, within=PATIENCE)
            await asyncio.to_thread(install.ask, admin, "/v1/config/principals/shop", "PUT", json={"grants": fewer})
            refused = await eventually(lambda: refusal(door, "a"), within=PATIENCE)
            assert refused["rule"] == "grant"

            async def hidden() -> bool:
                """Whether the feed leaves out what the principal may not read any more, and goes on with what it may."""
                sent = await asyncio.to_thread(install.send, admin, uuid4().hex, "a")
                shown = await published(door, "b")
                await eventually(lambda: shown["id"] in seen, within=PATIENCE)
                return sent.json()["id"] not in seen

            await eventually(hidden, within=PATIENCE)
            assert await hidden()
            watching.cancel()

    asyncio.run(run())


async def watch(feed: ClientConnection, seen: list[str]) -> None:
    """Note the ids of the messages that come."""
    while True:
        seen += [one["id"] for one in json.loads(await feed.recv()).get("messages", ())]


async def published(door: ClientConnection, topic: str) -> dict[str, Any]:
    """The receipt of an event to the topic."""
    await door.send(json.dumps({"specversion": "1.0", "id": uuid4().hex, "source": "/s", "type": "t", "topic": topic}))
    async with asyncio.timeout(PATIENCE):
        receipt: dict[str, Any] = json.loads(await door.recv())["receipts"][0]
    return receipt


async def refusal(door: ClientConnection, topic: str) -> Any:
    """The problem of an event to the topic, once it is refused."""
    return (await published(door, topic)).get("problem")


def test_doors_of_an_org_are_shut_when_it_is_deleted_and_what_it_left_is_its_own_when_it_is_restored(install: Install) -> None:
    org, admin = install.org()
    sent = install.send(admin, "kept").json()
    install.stored(admin, sent["id"])
    install.ask(admin, "/v1/config/org", "PUT", json={"max_bytes": 5_000})
    at, whose = f"/v1/config/orgs/{org}", {"org": org}
    asyncio.run(over_after(install, admin, partial(install.ask, install.root, at, "DELETE")))
    for front in install.fronts:
        assert install.send(admin, uuid4().hex, at=front).status_code == 401
        assert install.ask(admin, "/v1/config/org", at=front).status_code == 401
        with pytest.raises(InvalidStatus):
            asyncio.run(opens(front, admin))
    assert install.ask(install.root, f"/v1/messages/{sent['id']}", params=whose).json()["verdict"] == "accepted"
    assert install.ask(install.root, "/v1/config/org", params=whose).status_code == 404
    assert install.ask(install.root, "/v1/config/org", "PUT", params=whose, json={}).status_code == 422
    assert install.ask(install.root, "/v1/config/principals/back", "PUT", params=whose, json={"grants": []}).status_code == 422
    assert install.ask(install.root, at, "PUT").status_code == 422
    again = install.ask(install.root, at, "PUT", json={"restore": True}).json()["admin"]["key"]
    install.known(again)
    assert install.ask(again, "/v1/config/org").status_code == 404
    assert install.send(admin, uuid4().hex).status_code == 401
    assert install.stored(again, sent["id"])["event_id"] == "kept"


async def opens(front: FrontProcess, key: str) -> None:
    async with socket_of(front, "/v1/events", key, "switchboard.events.v1"):
        pass


# ---- the secret -----------------------------------------------------------------------------------------------------------------


class Signed:
    """A session's cookie, and a cursor each of query and feed, as a front signed them."""

    def __init__(self, install: Install, front: FrontProcess, key: str) -> None:
        self._install, self._key = install, key
        self.cookie = httpx.post(f"{front.url}/v1/session", json={"key": key}, timeout=PATIENCE).cookies[COOKIE]
        self._page = install.ask(key, "/v1/messages?limit=1", at=front).json()["next"]
        self._feed = asyncio.run(feed_cursor(front, key))

    def good_at(self, front: FrontProcess) -> list[bool]:
        """Which of the three the front takes."""
        session = httpx.get(f"{front.url}/v1/session", headers={"cookie": f"{COOKIE}={self.cookie}"}, timeout=PATIENCE)
        more = self._install.ask(self._key, "/v1/messages", at=front, params={"limit": "1", "cursor": self._page})
        assert (session.status_code in (200, 401), more.status_code in (200, 400)) == (True, True)
        return [session.status_code == 200, more.status_code == 200, asyncio.run(goes_on(self._install, front, self._key, self._feed))]


async def feed_cursor(front: FrontProcess, key: str) -> str:
    """The first that the feed gives."""
    async with socket_of(front, "/v1/feed?topic=%3E", key, "switchboard.feed.v1") as feed, asyncio.timeout(PATIENCE):
        while "cursor" not in (frame := json.loads(await feed.recv())):
            pass
        return str(frame["cursor"])


async def goes_on(install: Install, front: FrontProcess, key: str, cursor: str) -> bool:
    """Whether the feed goes on from the cursor."""
    async with socket_of(front, f"/v1/feed?topic=%3E&cursor={cursor}", key, "switchboard.feed.v1") as feed, asyncio.timeout(PATIENCE):
        await asyncio.to_thread(install.send, key, uuid4().hex)
        frame = json.loads(await feed.recv())
    assert {"error", "cursor"} & frame.keys(), frame
    return "error" not in frame


def seen_by_all(install: Install, key: str, *secrets: bytes) -> bool:
    """Whether every front signs with the first of these keys, and verifies with each."""
    for front in install.fronts:
        for secret in secrets:
            cookie = {"cookie": f"{COOKIE}={seal(open_session(key), [secret])}"}
            if httpx.get(f"{front.url}/v1/session", headers=cookie, timeout=PATIENCE).status_code != 200:
                return False
        try:
            unseal(httpx.post(f"{front.url}/v1/session", json={"key": key}, timeout=PATIENCE).cookies[COOKIE], [secrets[0]])
        except Unauthenticated:
            return False
    return True


def test_cookies_and_cursors_outlive_a_rotation_of_the_secret_and_end_with_its_old_key(install: Install) -> None:
    """One front after the other, as a Secret's volume changes: append the new key, make it the first, remove the old one."""
    first, second = install.fronts
    _, admin = install.org()
    for number in range(3):
        install.stored(admin, install.send(admin, f"m{number}").json()["id"])
    old, new = install.secrets[0].read_bytes().strip(), b"n" * 48

    def turn(place: int, *keys: bytes) -> None:
        """Another file in the place of the one there was."""
        beside = install.secrets[place].with_suffix(".new")
        beside.write_bytes(b"\n".join(keys) + b"\n")
        beside.replace(install.secrets[place])

    before = Signed(install, first, admin)
    try:
        for keys in ((old, new), (new, old)):
            for place in (0, 1):
                turn(place, *keys)
                for made in (before, Signed(install, first, admin), Signed(install, second, admin)):
                    assert [made.good_at(front) for front in install.fronts] == [[True] * 3] * 2
            eventually_now(partial(seen_by_all, install, admin, *keys), within=PATIENCE)
        after = Signed(install, first, admin)
        for place in (0, 1):
            turn(place, new)
        for front in install.fronts:
            eventually_now(lambda at=front: before.good_at(at) == [False] * 3, within=PATIENCE)  # type: ignore[misc]
            assert after.good_at(front) == [True] * 3
        turn(0, b"short")

        def said() -> bool:
            """Whether the log says so yet; nothing changes, before or after."""
            assert after.good_at(first) == [True] * 3
            return "the keys before stay in force" in first.log.read_text()

        eventually_now(said, within=PATIENCE)
        assert after.good_at(first) == [True] * 3
    finally:
        for place in (0, 1):
            turn(place, old)
