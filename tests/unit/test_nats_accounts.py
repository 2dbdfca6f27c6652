"""Handing over an account's token to what may be no server at all: it is said, and nothing is left of the attempt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.adapters.nats.accounts import NatsAccounts
from shared.domain.registry.reach import Reach
from shared.trust.backbone import BackboneTrust
from tests.waiting import eventually

INFO = b'INFO {"server_id":"N","version":"2.15.1","headers":true,"max_payload":1048576,"nonce":"bm9uY2U"}\r\n'
LOGIN = BackboneTrust("main-0a", b"m" * 32).system_login(1)


@asynccontextmanager
async def server(info: bytes, answer: bytes = b"", connected: asyncio.Event | None = None) -> AsyncIterator[Reach]:
    """What says this to whoever connects, and answers each request so; `connected` is set by the first one."""
    open_now: set[asyncio.StreamWriter] = set()
    somebody = connected or asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        somebody.set()
        writer.write(info)
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
            elif line.startswith(b"SUB"):
                subject, number = line.split()[1:3]
                listens = number, subject.removesuffix(b"*").removesuffix(b">")
            elif line.startswith(b"PUB"):
                reply = line.split()[2]
                assert reply.startswith(listens[1])
                writer.write(b"MSG %b %b %d\r\n%b\r\n" % (reply, listens[0], len(answer), answer))
        open_now.discard(writer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = listening.sockets[0].getsockname()[1]
        yield Reach("main-0a", "acme", "eu", "local", f"nats://127.0.0.1:{port}", here=True)
    finally:
        listening.close()
        await eventually(lambda: not open_now)  # nobody keeps a connection to it


async def told(answer: bytes) -> str:
    """What comes of a token that a server answers so."""
    accounts = NatsAccounts("test")
    async with server(INFO, answer) as reach:
        assert await accounts.connect(reach, LOGIN) == ""
        problem = await accounts.tell(reach.id, "a token")
        await accounts.stop()
    return problem


@pytest.mark.parametrize(
    "answer", [b"[]", b'"x"', b'{"data": "x"}', b"[" * 100_000, b"5", b"\xff", b'{"data":{"code":"200"}}', b"{}", b'{"error":{"code":500}}']
)
async def test_it_is_said_when_a_server_answers_what_no_server_would(answer: bytes) -> None:
    assert await told(answer) != ""


async def test_token_is_taken_when_a_server_says_so() -> None:
    assert await told(b'{"server":{"name":"n"},"data":{"account":"A","code":200,"message":"jwt updated"}}') == ""


async def test_reason_is_told_when_a_server_refuses_the_token() -> None:
    assert await told(b'{"error":{"code":500,"description":"jwt validation failed"}}') == "it says 500 jwt validation failed"


async def test_nothing_is_left_of_a_connection_to_what_is_no_server() -> None:
    accounts = NatsAccounts("test")
    async with server(b"INFO []\r\n") as reach:
        with pytest.raises(AttributeError):  # of nats-py's
            await accounts.connect(reach, LOGIN)
        assert not accounts.is_connected(reach)


async def test_nothing_is_left_of_a_connection_that_was_broken_off_while_it_was_made() -> None:
    accounts, connected = NatsAccounts("test"), asyncio.Event()
    async with server(b"", connected=connected) as reach:
        attempt = asyncio.create_task(accounts.connect(reach, LOGIN))
        async with asyncio.timeout(30):
            await connected.wait()
        attempt.cancel()
        await asyncio.wait([attempt])
        assert not accounts.is_connected(reach)
