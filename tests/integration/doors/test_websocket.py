"""The WebSocket door from a client's side: both subprotocols, who is let in and for how long, and what a connection may not do."""

import asyncio
import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from tests.integration.doors.sockets import CLOUDEVENTS, SWITCHBOARD, closed, event, opened, receipts, text
from tests.integration.fronts import FrontProcess
from tests.nats_streams import published
from tests.waiting import eventually


async def test_receipt_is_an_event_of_the_sent_ones_id_when_the_subprotocol_is_cloudevents(front: FrontProcess) -> None:
    async with opened(front, CLOUDEVENTS) as socket:
        assert socket.subprotocol == CLOUDEVENTS
        sent = event(subject="agent-7")
        await socket.send(text(sent))
        answer = json.loads(await socket.recv())
        assert (answer["specversion"], answer["type"], answer["subject"]) == ("1.0", "switchboard.receipt", sent["id"])
        receipt = answer["data"]
        assert (receipt["status"], receipt["org"], receipt["topic"], receipt["subject"]) == ("accepted", front.org, "order", "agent-7")
        assert receipt["deliveries"][0]["stream"] == f"sb-{front.org}"
        await socket.send(text(sent))
        again = json.loads(await socket.recv())
        assert (again["data"]["id"], again["data"]["duplicate"]) == (receipt["id"], True)
        assert again["id"] != answer["id"]


async def test_refusal_has_the_events_id_where_it_can_be_read_when_the_subprotocol_is_cloudevents(front: FrontProcess) -> None:
    async with opened(front, CLOUDEVENTS) as socket:
        for frame, subject, pointer in (
            (text(event("readable", time="now")), "readable", "/time"),
            (text(event(), event()), None, ""),
            ("no JSON", None, ""),
            ("", None, ""),
        ):
            await socket.send(frame)
            answer = json.loads(await socket.recv())
            assert (answer.get("subject"), answer["data"]["status"]) == (subject, "malformed")
            assert pointer in [fault["pointer"] for fault in answer["data"]["problem"]["errors"]]


async def test_receipts_are_in_order_when_frames_of_every_kind_are_sent_at_once(front: FrontProcess) -> None:
    frames: list[list[dict[str, Any]]] = [[event()] if n % 3 else [event() for _ in range(n)] for n in range(2, 60)]
    async with opened(front) as socket:
        await asyncio.gather(*(socket.send(text(*events)) for events in frames[:-1]))
        await socket.send("[]")
        await socket.send('[{},{"id":7}]')
        for events in frames[:-1]:
            answer = await receipts(socket)
            assert [one["status"] for one in answer] == ["accepted"] * len(events)
        assert await receipts(socket) == []
        assert [one["status"] for one in await receipts(socket)] == ["malformed"] * 2


async def test_order_of_ids_is_the_order_sent_when_many_are_in_flight(front: FrontProcess) -> None:
    sent = [event() for _ in range(3_000)]
    async with opened(front) as socket:

        async def send() -> None:
            for one in sent:
                await socket.send(text(one))

        sending = asyncio.create_task(send())
        sequences = [(await receipts(socket))[0]["deliveries"][0]["sequence"] for _ in sent]
        await sending
        first = (await _again(socket, sent[0]), await _again(socket, sent[-1]))
    assert sequences == sorted(sequences)
    assert first == (sequences[0], sequences[-1])


async def _again(socket: ClientConnection, one: dict[str, Any]) -> int:
    await socket.send(text(one))
    (receipt,) = await receipts(socket)
    assert receipt["duplicate"]
    return int(receipt["deliveries"][0]["sequence"])


async def test_binary_frame_is_closed_1003_when_what_came_before_is_answered(front: FrontProcess) -> None:
    async with opened(front) as socket:
        await socket.send(text(event()))
        await socket.send(b"\x00")
        assert [one["status"] for one in await receipts(socket)] == ["accepted"]
        assert await closed(socket) == 1003


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer nonsense"}, 401),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
async def test_nobody_is_let_in_without_a_key_or_from_a_foreign_page(front: FrontProcess, headers: dict[str, str], status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(front, SWITCHBOARD, **headers):
            pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body or b"")["status"] == status


async def test_subprotocol_is_asked_for_when_none_is_offered_that_is_spoken(front: FrontProcess) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(front, Subprotocol("soap")):
            pass
    problem = json.loads(refused.value.response.body or b"")
    assert (problem["status"], problem["errors"][0]["pointer"]) == (400, "sec-websocket-protocol")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/feed"])
async def test_upgrade_is_asked_for_when_a_websocket_s_path_is_only_got(front: FrontProcess, path: str) -> None:
    got, told = front.client.get(path), front.client.head(path)
    assert (got.status_code, got.headers["upgrade"]) == (426, "websocket")
    assert (told.status_code, told.headers["upgrade"], told.content) == (426, "websocket", b"")


async def test_page_of_this_host_publishes_with_its_cookie_until_it_signs_out(front: FrontProcess) -> None:
    signed = front.client.post("/v1/session", json={"key": front.key})
    cookie = signed.headers["set-cookie"].partition(";")[0]
    same = {"authorization": "", "cookie": cookie, "origin": front.url}
    url = f"ws://127.0.0.1:{front.port}/v1/events"
    with pytest.raises(InvalidStatus):  # a browser says where its page is from
        await connect(url, additional_headers={"cookie": cookie}, subprotocols=[SWITCHBOARD])
    del same["authorization"]
    async with connect(url, additional_headers=same, subprotocols=[SWITCHBOARD]) as socket:
        await socket.send(text(event()))
        assert [one["status"] for one in await receipts(socket)] == ["accepted"]
        front.client.request("DELETE", "/v1/session", headers={"cookie": cookie, "origin": front.url, "x-requested-with": "page"})
        assert await closed(socket) == 1008


async def test_connection_ends_when_its_key_is_revoked(front: FrontProcess) -> None:
    name = f"leaving-{uuid4().hex[:8]}"
    path = f"/v1/config/principals/{name}"
    assert front.client.put(path, json={"grants": [{"action": "publish"}]}).is_success
    made = front.client.post(f"{path}/keys").json()

    async def let_in() -> bool:
        try:
            async with opened(front, authorization=f"Bearer {made['key']}"):
                return True
        except InvalidStatus:
            return False

    await eventually(let_in)
    async with opened(front, authorization=f"Bearer {made['key']}") as socket:
        await socket.send(text(event()))
        assert [one["status"] for one in await receipts(socket)] == ["accepted"]
        assert front.client.delete(f"{path}/keys/{made['id']}").is_success
        assert await closed(socket) == 1008


async def test_trace_of_the_opening_request_is_the_events_when_they_have_none(front: FrontProcess, nats_url: str) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with opened(front, traceparent=trace) as socket:
        await socket.send(text(event()))
        (receipt,) = await receipts(socket)
    assert (await published(nats_url, receipt))["traceparent"] == trace


@pytest.mark.parametrize("size", [8 * 1024 * 1024 + 1])
async def test_frame_over_the_limit_is_closed_1009(front: FrontProcess, size: int) -> None:
    async with opened(front) as socket:
        with suppress(ConnectionClosed):
            await socket.send(" " * size)
        assert await closed(socket) == 1009
    assert front.ready()


async def test_flood_of_fragments_or_pings_is_closed_and_harms_nobody(front: FrontProcess) -> None:
    async with opened(front) as good, opened(front) as fragments, opened(front) as pings:
        for number in range(2_000):
            _raw(fragments, Frame(Opcode.CONT if number else Opcode.TEXT, b"", fin=False))
            _raw(pings, Frame(Opcode.PING, b"x"))
        assert await closed(fragments) == 1009
        assert await closed(pings) == 1008
        await good.send(text(event()))
        assert [one["status"] for one in await receipts(good)] == ["accepted"]
    assert front.ready()


def _raw(socket: ClientConnection, frame: Frame) -> None:
    if not socket.transport.is_closing():
        socket.transport.write(frame.serialize(mask=True))


async def test_compression_is_declined_when_the_client_offers_it(front: FrontProcess) -> None:
    url = f"ws://127.0.0.1:{front.port}/v1/events"
    async with connect(url, additional_headers=front.bearer, subprotocols=[SWITCHBOARD], compression="deflate") as socket:
        assert socket.protocol.extensions == []
        await socket.send(text(event()))
        assert [one["status"] for one in await receipts(socket)] == ["accepted"]


async def test_compressed_frame_closes_its_sender_alone_when_compression_is_off(front: FrontProcess) -> None:
    """A deflate bomb: a kilobyte for a megabyte. RFC 6455, 5.2: RSV1 means nothing where no extension was agreed on."""
    plain = Frame(Opcode.TEXT, zlib.compress(b" " * 1024 * 1024, wbits=-15)).serialize(mask=True)
    bomb = bytes((plain[0] | 0x40,)) + plain[1:]  # RSV1
    async with opened(front) as good, opened(front) as bombing:
        bombing.transport.write(bomb)
        assert await closed(bombing) == 1002
        await good.send(text(event()))
        assert [one["status"] for one in await receipts(good)] == ["accepted"]
    assert front.ready()


async def test_text_that_is_no_utf8_is_named_and_its_neighbours_are_taken(front: FrontProcess) -> None:
    async with opened(front) as socket:
        await socket.send(text(event()))
        await socket.send(b'{"specversion":"1.0","id":"u","source":"/s","type":"t","subject":"a\xff"}', text=True)
        await socket.send(text(event()))
        answers = [(await receipts(socket))[0] for _ in range(3)]
    assert [one["status"] for one in answers] == ["accepted", "malformed", "accepted"]
    assert [fault["pointer"] for fault in answers[1]["problem"]["errors"]] == ["/subject"]


async def test_client_that_reads_no_receipts_is_held_back_and_closed_1013(front: FrontProcess) -> None:
    frame = "[" + ",".join(["0"] * 1_000) + "]"  # a small frame with a large answer
    async with opened(front) as good:
        url = f"ws://127.0.0.1:{front.port}/v1/events"
        slow = await connect(url, additional_headers=front.bearer, subprotocols=[SWITCHBOARD], compression=None, max_queue=1, max_size=None)
        sending = asyncio.create_task(_send_until_held_back(slow, frame))
        await good.send(text(event()))
        assert [one["status"] for one in await receipts(good)] == ["accepted"]
        assert await asyncio.wait_for(sending, 60) < 1_000 + _kernel_holds() // len(frame)  # it was not read on and on
        await eventually(lambda: "switchboard_events_clients 1.0" in front.client.get("/metrics").text)
        assert await closed(slow) == 1013
        slow.transport.abort()
    assert front.ready()


def _kernel_holds() -> int:
    """The bytes that both ends' socket buffers take at the most, whether anybody reads them or not: 10 MB here, 37 MB there."""
    ends = Path("/proc/sys/net/ipv4/tcp_rmem"), Path("/proc/sys/net/ipv4/tcp_wmem")
    return sum(int(end.read_text().split()[-1]) for end in ends) if ends[0].exists() else 10_000_000


async def _send_until_held_back(socket: ClientConnection, frame: str) -> int:
    sent = 0
    with suppress(TimeoutError, ConnectionClosed):
        while True:
            async with asyncio.timeout(3):  # it is closed after ten
                await socket.send(frame)
            sent += 1
    return sent
