"""Whether the servers that `switchboard up` is told to use are there: asked once, before anything rests on them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from shared.adapters.nats.connection import Connection
from shared.adapters.redis.door_settings import check_door
from shared.adapters.redis.link import Link
from shared.domain.errors import Misconfigured, SwitchboardError, Unavailable

PATIENCE = 10.0  # seconds for one server; the database is asked by its migrations


def check_external(urls: Mapping[str, str], durability: str) -> None:
    """Ask the servers, by the names `redis`, `redis_door` and `nats`. Raises Unavailable naming the setting of one that doesn't answer, and
    Misconfigured where Redis hasn't the log's durability, or the door's evicts. No URL is in the message: it has a password.
    """
    asked: dict[str, Callable[[str], Awaitable[object]]] = {
        "redis": lambda url: _ask_redis(url, durability),
        "redis_door": check_door,
        "nats": _ask_nats,
    }
    for name, ask in asked.items():
        if name in urls:
            asyncio.run(_ask(name, ask(urls[name])))


async def _ask(name: str, answer: Awaitable[object]) -> None:
    try:
        await asyncio.wait_for(answer, PATIENCE)
    except Misconfigured:
        raise
    except Exception as error:  # nats-py raises its own kinds, and only an adapter may know them
        why = error.detail if isinstance(error, SwitchboardError) else type(error).__name__
        raise Unavailable(f"the server of SWITCHBOARD_{name.upper()}_URL can't be reached: {why}") from error


async def _ask_redis(url: str, durability: str) -> None:
    link = Link(url, durability=durability)
    try:
        await link.one("PING")
    finally:
        await link.close()


async def _ask_nats(url: str) -> None:
    connection = Connection()
    try:
        await connection.open([url], "switchboard up")
    finally:
        await connection.close()
