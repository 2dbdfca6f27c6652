"""Requests that come whole take a short way: it must answer what the ordinary way answers, and nothing else may take it."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable

import pytest

from shared.edge import protocol
from shared.edge.whole import head_of
from tests.unit.doors import BATCH, STRUCTURED, event
from tests.unit.served import NOT_TAKEN, TAKEN, Served, connections, read_answer, request, serving
from tests.waiting import eventually


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


@pytest.mark.parametrize("name", TAKEN)
async def test_answer_is_the_same_when_a_request_comes_whole_and_in_two_parts(name: str, served: Served) -> None:
    sent = TAKEN[name]
    whole = await served.send(sent)
    assert served.doorway.whole == 1
    apart = await served.send(sent[:20], sent[20:])
    assert served.doorway.whole == 1
    assert unhurried(whole) == unhurried(apart)
    assert whole[0][0] in (200, 202, 207, 400, 401, 415)


def unhurried(answers: list[tuple[int, dict[bytes, bytes], bytes]]) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """The answers without what is made anew for each: the id of a rejected event."""
    return [(status, {name: value for name, value in headers.items() if name != b"ce-id"}, body) for status, headers, body in answers]


@pytest.mark.parametrize("name", NOT_TAKEN)
async def test_request_goes_the_ordinary_way_when_its_head_is_out_of_the_ordinary(name: str, served: Served) -> None:
    await served.send(NOT_TAKEN[name])
    assert served.doorway.whole == 0
    assert (await served.send(TAKEN["structured"]))[0][0] == 202


@pytest.mark.parametrize("place", range(1, len(TAKEN["structured"]), 37))
async def test_event_is_taken_once_when_its_request_is_cut_anywhere(place: int, served: Served) -> None:
    sent = TAKEN["structured"]
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent[:place])
    await eventually(lambda: bool(served.server.server_state.connections))
    writer.write(sent[place:] + sent)
    answers = [await read_answer(reader) for _ in range(2)]
    writer.close()
    assert [status for status, _, _ in answers] == [202, 202]
    assert len(served.doorway.submitted) == 2


async def test_requests_are_answered_in_order_when_they_come_behind_one_another(served: Served) -> None:
    bodies = [json.dumps(event(f"e{number}")).encode() for number in range(40)]
    sent = [request(STRUCTURED, body) for body in bodies]
    served.doorway.go.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent[0])
    await eventually(lambda: len(served.doorway.submitted) == 1)
    writer.write(b"".join(sent[1:]))
    await writer.drain()
    served.doorway.go.set()
    answers = [await read_answer(reader) for _ in sent]
    writer.close()
    assert {status for status, _, _ in answers} == {202}
    assert [message.event_id for message in served.doorway.submitted] == [f"e{number}" for number in range(40)]
    assert len({json.loads(body)["id"] for _, _, body in answers}) == 40


async def test_requests_are_answered_when_each_read_ends_in_the_head_of_the_next(served: Served) -> None:
    sent = [request(STRUCTURED, json.dumps(event(f"e{number}")).encode(), "x-pad: " + "p" * 6000) for number in range(20)]
    cuts = [0, *(sum(map(len, sent[:count])) + 3000 for count in range(1, len(sent))), sum(map(len, sent))]
    stream = b"".join(sent)
    assert len(stream) > protocol.HEAD_BYTES
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    for start, end in itertools.pairwise(cuts):
        writer.write(stream[start:end])
        assert (await read_answer(reader))[0] == 202
    writer.close()
    assert [message.event_id for message in served.doorway.submitted] == [f"e{number}" for number in range(20)]


async def test_head_is_refused_when_it_is_too_large_behind_another_request(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(TAKEN["structured"] + b"POST /v1/events HTTP/1.1\r\n")
    assert (await read_answer(reader))[0] == 202
    for number in range(protocol.HEAD_BYTES // 8000 + 1):
        writer.write(f"x-{number}: {'p' * 8000}\r\n".encode())
    assert (await read_answer(reader))[0] == 431
    writer.close()


async def test_connection_is_closed_when_nothing_comes_behind_a_whole_request(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.server.config.timeout_keep_alive = 0.2  # type: ignore[assignment]
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(TAKEN["structured"])
    assert (await read_answer(reader))[0] == 202
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_answer_waits_when_its_client_has_not_read_what_came_before(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    await eventually(lambda: len(connections(served.server)) == 1)
    (connection,) = connections(served.server)
    connection.pause_writing()  # as the transport does over its high-water mark
    writer.write(TAKEN["structured"])
    await eventually(lambda: connection._drained is not None)
    assert connection.transport.get_write_buffer_size() == 0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    connection.resume_writing()
    assert (await read_answer(reader))[0] == 202
    writer.write(TAKEN["structured"])
    assert (await read_answer(reader))[0] == 202
    writer.close()


async def test_memory_is_bounded_when_a_client_sends_and_never_reads(served: Served) -> None:
    """It stops being read as soon as its answers are not taken."""
    _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    sent = request(BATCH, json.dumps([event(str(number)) for number in range(200)]).encode())
    for _ in range(400):
        writer.write(sent)
    (connection,) = connections(served.server)
    await eventually(lambda: connection.flow.write_paused)
    assert len(connection._behind) < 2 * 256 * 1024
    taken = len(served.doorway.submitted)
    assert taken < 400 * 200
    writer.transport.abort()


READ: list[Callable[[bytes], bytes]] = [
    bytes.lower,
    bytes.upper,
    lambda head: head.replace(b": ", b":"),
    lambda head: head.replace(b"\r\n", b"\n"),
]


@pytest.mark.parametrize("change", range(len(READ)))
async def test_head_is_taken_only_as_llhttp_reads_it(change: int, served: Served) -> None:
    head, _, body = TAKEN["structured"].partition(b"\r\n\r\n")
    line, _, lines = head.partition(b"\r\n")
    sent = line + b"\r\n" + READ[change](lines).replace(b"BEARER SB_UNIT", b"BEARER sb_unit") + b"\r\n\r\n" + body
    read = head_of(sent, len(sent) - len(body))
    assert (read is None) == (b"\r\n" not in READ[change](lines))
    if read is not None:
        assert read.length == len(body)
        assert [name for name, _ in read.headers] == [b"host", b"authorization", b"content-type", b"content-length"]
        assert (await served.send(sent))[0][0] == 202
