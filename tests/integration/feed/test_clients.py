"""Clients of the feed: who is let in and for how long, who is too slow, and who misbehaves."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from functions.websocket import budget, catching_up
from functions.websocket.socket import Limits
from shared.domain.principal import Grant
from tests.feed import FixedSnapshots, Log, Start, accepted, message, names, reading
from tests.waiting import eventually


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic xyz"}])
async def test_client_without_a_good_key_is_answered_401(start: Start, headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    async with start() as feed:
        with pytest.raises(InvalidStatus) as refused:
            await connect(feed.feed_url(), additional_headers=headers)
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"")["type"].endswith("unauthenticated")
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_key_without_read_grant_is_answered_403(start: Start, snapshots: FixedSnapshots, org: str) -> None:
    key = snapshots.add(org, (Grant("publish"),))
    async with start() as feed:
        with pytest.raises(InvalidStatus) as refused:
            await connect(feed.feed_url(), additional_headers={"Authorization": f"Bearer {key}"})
    assert refused.value.response.status_code == 403


async def test_watching_ends_when_the_key_is_revoked(start: Start, snapshots: FixedSnapshots, key: str) -> None:
    async with start(Limits(check=0.05)) as feed, reading(feed, key) as client:
        snapshots.revoke(key)
        assert (await client.frame())["error"]["status"] == 401
        await client.connection.wait_closed()
        assert client.connection.close_code == 1008


async def test_heartbeats_come_when_quiet_and_the_cursor_moves_past_what_is_not_shown(start: Start, log: Log, key: str, org: str) -> None:
    async with start(Limits(quiet=0.1)) as feed, reading(feed, key) as client:
        assert (await client.frame()).keys() == {"heartbeat"}
        before = client.cursor
        number = await log.write(accepted(message(f"{org}x", "other")))
        while client.cursor == before:
            await client.frame()
        await log.trim(number)
        async with reading(feed, key, cursor=client.cursor) as again:
            await log.write(accepted(message(org, "mine")))
            await again.until(1)
            assert [frame for frame in again.others if "gap" in frame] == []
    assert client.messages == []


async def test_client_gets_all_while_others_filters_take_what_they_may(start: Start, log: Log, key: str, org: str) -> None:
    """The filters are as costly as they may be: a core would have too much to do with any one of them."""
    body = json.dumps({"l": list(range(200)), "t": "a" * 500}).encode()
    costly = "data.l.all(x, data.l.exists(y, y == x + 1000) || true)"
    async with start() as feed, reading(feed, key) as client, AsyncExitStack() as stack:
        for number in range(8):
            await stack.enter_async_context(reading(feed, key, filter=f"{costly} && message.event_id != '{number}'"))
        for start_at in range(0, 2_000, 50):
            await log.write(accepted(*(message(org, event, body=body) for event in names(50, start_at))))
        assert await client.until(2_000) == names(2_000)
        assert feed.clients == 9


async def test_client_is_refused_when_too_many_have_a_filter(start: Start, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "CLIENTS", 4)
    async with start() as feed:
        async with reading(feed, key, filter="true"), reading(feed, key, filter="false"):
            headers = {"Authorization": f"Bearer {key}"}
            async with connect(feed.feed_url(filter="true"), additional_headers=headers) as third:
                assert json.loads(await third.recv())["error"]["status"] == 503
                await third.wait_closed()
            assert third.close_code == 1013
        await eventually(lambda: feed.clients == 0)
        async with reading(feed, key, filter="true"):
            pass


async def test_client_is_refused_when_too_many_read_what_no_store_has(
    start: Start, log: Log, key: str, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catching_up, "FAR_S", 0.0)
    await log.unstored(await log.write(accepted(message(org, "one"))))
    async with start() as feed:
        monkeypatch.setattr(catching_up, "CLIENTS", 0)
        async with connect(feed.feed_url(begin="stored"), additional_headers={"Authorization": f"Bearer {key}"}) as refused:
            problem = json.loads(await refused.recv())["error"]
            await refused.wait_closed()
        assert (problem["status"], refused.close_code) == (503, 1013)
        assert "come back in 5 s" in problem["detail"]
        monkeypatch.setattr(catching_up, "CLIENTS", 2)
        async with reading(feed, key, begin="stored") as client:
            assert await client.until(1) == ["one"]
            await eventually(lambda: feed.resources.counters.gauges["feed_catching_up"]() == 0)


async def test_client_that_does_not_read_is_closed_with_1013_while_another_gets_all(start: Start, log: Log, key: str, org: str) -> None:
    body = json.dumps({"text": "x" * 15_000}).encode()
    count = 2_000  # 30 MB: more than the sockets' buffers hold
    async with start(Limits(send=0.5)) as feed:
        headers = {"Authorization": f"Bearer {key}"}
        async with reading(feed, key) as good:
            slow = await connect(feed.feed_url(topic=">"), additional_headers=headers, max_queue=1, compression=None, max_size=None)
            for first in range(0, count, 50):
                await log.write(accepted(*(message(org, name, body=body) for name in names(50, first))))
                await good.until(first + 50)
            assert good.events == names(count)
            await eventually(lambda: feed.clients == 1)
            assert await _read_to_the_end(slow) < good.frames
            assert slow.close_code == 1013


async def _read_to_the_end(connection: ClientConnection) -> int:
    """How many frames came before the close."""
    count = 0
    with suppress(ConnectionClosed):
        while True:
            await connection.recv()
            count += 1
    return count


@pytest.mark.parametrize(
    ("frame", "code"), [(b"\x00", 1003), ("x" * 70_000, 1009), ("not json", 1008), ('{"unsubscribe":{}}', 1008), ("[" * 60_000, 1008)]
)
async def test_bad_frame_closes_its_sender_alone(start: Start, log: Log, key: str, org: str, frame: str | bytes, code: int) -> None:
    async with start() as feed, reading(feed, key) as bad, reading(feed, key) as good:
        await bad.connection.send(frame)
        await bad.connection.wait_closed()
        assert bad.connection.close_code == code
        await log.write(accepted(message(org, "one")))
        assert await good.until(1) == ["one"]


async def test_flood_of_fragments_or_pings_is_closed_and_harms_nobody(start: Start, log: Log, key: str, org: str) -> None:
    async with start() as feed, reading(feed, key) as good, reading(feed, key) as fragments, reading(feed, key) as pings:
        for number in range(2_000):
            for flooding, frame in (
                (fragments, Frame(Opcode.CONT if number else Opcode.TEXT, b"", fin=False)),
                (pings, Frame(Opcode.PING, b"x")),
            ):
                if not flooding.connection.transport.is_closing():
                    flooding.connection.transport.write(frame.serialize(mask=True))
        for flooding, code in ((fragments, 1009), (pings, 1008)):
            async with asyncio.timeout(30):
                await flooding.connection.wait_closed()
            assert flooding.connection.close_code == code
        await log.write(accepted(message(org, "one")))
        assert await good.until(1) == ["one"]


async def test_another_org_watches_when_one_has_as_many_clients_as_it_leaves_free(
    start: Start, snapshots: FixedSnapshots, key: str, org: str
) -> None:
    """One org's clients took all places of the process, and nobody else could watch."""
    others = snapshots.add(f"{org}-2")
    async with start(Limits(clients=6)) as feed, AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(reading(feed, key))
        with pytest.raises(InvalidStatus) as refused:
            await connect(feed.feed_url(), additional_headers={"Authorization": f"Bearer {key}"})
        assert refused.value.response.status_code == 503
        async with reading(feed, others):
            assert feed.clients == 4


async def test_flood_of_frames_is_closed(start: Start, key: str) -> None:
    async with start() as feed, reading(feed, key) as client:
        for _ in range(50):
            await client.connection.send('{"subscribe":{}}')
        await client.connection.wait_closed()
        assert client.connection.close_code == 1008


async def test_entry_that_cannot_be_read_harms_no_neighbour(start: Start, log: Log, key: str, org: str) -> None:
    async with start() as feed, reading(feed, key) as client:
        await log.write(accepted(message(org, "before")))
        number = int(await log.redis.incr("sb:log:{0}:number"))
        await log.redis.xadd("sb:log:{0}:feed", {"f": b"\x09garbage!!!!!!"}, id=f"{number}-0")
        await log.write(accepted(message(org, "after")))
        assert await client.until(2) == ["before", "after"]
