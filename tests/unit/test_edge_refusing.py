"""What RFC 9110 and RFC 9112 ask of every request and every answer, whichever way they go: one host, and a date."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.unit.served import NOT_TAKEN, TAKEN, Served, read_answer, serving


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


@pytest.mark.parametrize("name", ["no host", "two hosts", "a host that is none"])
@pytest.mark.parametrize("before", [b"", TAKEN["structured"]], ids=["first", "behind another"])
async def test_request_is_refused_and_its_event_not_taken_when_it_does_not_name_one_host(name: str, before: bytes, served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    if before:
        writer.write(before)
        assert (await read_answer(reader))[0] == 202
    writer.write(NOT_TAKEN[name])
    status, _, body = await read_answer(reader)
    assert (status, json.loads(body)["errors"][0]["pointer"]) == (400, "Host")
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    assert len(served.doorway.submitted) == bool(before)


@pytest.mark.parametrize("host", ["door:80", "[::1]:8080", "a.b-c_d", ""])
async def test_event_is_taken_when_its_host_is_written_in_another_way(host: str, served: Served) -> None:
    sent = TAKEN["structured"].replace(b"Host: door", f"Host: {host}".encode())
    assert (await served.send(sent))[0][0] == 202
    assert served.doorway.whole == 1
    assert (await served.send(sent.replace(b"/events", b"/events?a=1")))[0][0] == 202


async def test_event_is_taken_when_http_1_0_names_no_host(served: Served) -> None:
    sent = NOT_TAKEN["no host"].replace(b"HTTP/1.1", b"HTTP/1.0")
    assert (await served.send(sent))[0][0] == 202


@pytest.mark.parametrize(
    "sent",
    [TAKEN["structured"], TAKEN["not JSON"], NOT_TAKEN["a query"], NOT_TAKEN["no host"]],
    ids=["whole", "refused", "ordinary", "no HTTP"],
)
async def test_answer_says_when_it_was_made_whichever_way_it_went(sent: bytes, served: Served) -> None:
    """As the server's clock has it then: it looks every second."""
    await served.server.on_tick(0)
    for _ in range(2):
        ((_, headers, _),) = await served.send(sent)
        assert headers[b"date"] == dict(served.server.server_state.default_headers)[b"date"]
        served.server.server_state.default_headers = [(b"date", b"Fri, 27 Nov 2026 18:08:13 GMT")]
