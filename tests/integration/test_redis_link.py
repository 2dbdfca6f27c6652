"""One connection to a real Valkey: who we are there, and that no caller sees another's reply, whatever happened to it."""

import asyncio
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from shared.adapters.redis.link import Link
from shared.adapters.redis.resp import Refused
from shared.domain.errors import Unavailable
from tests.servers import LocalServer
from tests.waiting import eventually


def with_credentials(url: str, credentials: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{credentials}@{parts.hostname}:{parts.port}"))


async def test_replies_come_in_order_when_commands_go_together(redis_url: str) -> None:
    link = Link(redis_url)
    body = bytes(range(256)) * 40_000  # more than a read brings
    replies = await link.call(
        ("SET", "k", body), ("GET", "k"), ("LPUSH", "k", 1), ("EVAL", "return {1, {'a', redis.error_reply('E x')}}", 0)
    )
    assert replies[:2] == [b"OK", body]
    assert replies[2].code == "WRONGTYPE"
    assert replies[3][0] == 1
    assert replies[3][1][0] == b"a"
    assert isinstance(replies[3][1][1], Refused)
    await link.close()


async def test_the_next_caller_gets_its_own_reply_when_a_call_was_cancelled(redis_url: str, server: Any) -> None:
    link = Link(redis_url)
    waiting = asyncio.create_task(link.one("BLPOP", "nothing", 0))
    await eventually(lambda: any(client["cmd"] == "blpop" for client in server.client_list()))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await link.one("ECHO", "mine") == b"mine"
    await link.close()


async def test_a_call_is_unavailable_when_the_reply_is_late_and_the_next_is_answered(redis_url: str) -> None:
    link = Link(redis_url)
    with pytest.raises(Unavailable, match="TimeoutError"):
        await link.one("BLPOP", "nothing", 0, deadline=0.05)
    assert await link.one("ECHO", "mine") == b"mine"
    await link.close()


async def test_a_call_is_unavailable_when_the_server_ends_the_connection(redis_url: str, server: Any) -> None:
    link = Link(redis_url)
    own = await link.one("CLIENT", "ID")
    waiting = asyncio.create_task(link.one("BLPOP", "nothing", 0))
    await eventually(lambda: any(client["cmd"] == "blpop" for client in server.client_list()))
    server.client_kill_filter(_id=str(own))
    with pytest.raises(Unavailable, match="did not answer"):
        await waiting
    assert await link.one("ECHO", "mine") == b"mine"
    await link.close()


async def test_a_user_of_the_servers_list_is_known_when_the_url_has_its_password(own_redis: LocalServer) -> None:
    admin = Link(own_redis.url)
    await admin.one("ACL", "SETUSER", "door", "on", ">p@ss", "~*", "+@all")
    door = Link(with_credentials(own_redis.url, "door:p%40ss"))
    assert await door.one("ACL", "WHOAMI") == b"door"
    with pytest.raises(Unavailable, match="can't be reached: WRONGPASS"):
        await Link(with_credentials(own_redis.url, "door:other")).connect()
    with pytest.raises(Unavailable, match="can't be reached: NOAUTH"):
        await Link(with_credentials(own_redis.url, "").replace("@", "")).connect()
    await door.close()
    await admin.close()
