"""The feed in tests: flushes written as the doors' script writes them, a websocket pod of the test's own, and a client that reads along."""

import asyncio
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import redis.asyncio
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from functions.query.main import build as build_query
from functions.websocket.main import build
from functions.websocket.protocol import BoundedProtocol
from functions.websocket.socket import Limits
from infra.local.front import Front
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.redis.keys import prefix
from shared.domain.message import Message, message_digest, message_id
from shared.domain.names import nats_subject
from shared.domain.principal import Grant, Principal
from shared.domain.record import NEW, Accepted, Attempt, Deliveries, Record, pack_flush, pack_records
from shared.domain.snapshot import Snapshot
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.edge.server import configuration
from shared.ports import ConfigStore
from shared.resources import Resources
from shared.settings import Settings
from tests.waiting import eventually

SUBPROTOCOL = Subprotocol("switchboard.feed.v1")
READ = (Grant("read"),)
Start = Callable[..., AbstractAsyncContextManager["Pod"]]  # the `start` fixture: limits and shards to a running pod


def message(org: str, event_id: str, topic: str = "orders.created", subject: str | None = "agent-7", body: bytes = b'{"n":1}') -> Message:
    """An accepted event of that identity."""
    return Message(
        id=message_id(org, "/shop", event_id),
        digest=message_digest("order", subject, topic, "application/json", None, body),
        org=org,
        topic=topic,
        subject=subject,
        source="/shop",
        event_id=event_id,
        type="order",
        time=None,
        datacontenttype="application/json",
        dataschema=None,
        extensions=None,
        body=body,
        received_at=time.time_ns() // 1000,
        door="http",
        principal="shop",
        revision=1,
    )


def accepted(*messages: Message) -> list[Record]:
    return [Accepted(one, ("local",)) for one in messages]


def blocked(one: Message, rule: str = "size") -> Attempt:
    return Attempt(secrets.token_bytes(16), one, False, 413, rule, "over the limit")


def delivered(*messages: Message, sequence: int = 1) -> Deliveries:
    """What a backbone took, with sequences from `sequence` on."""
    org = messages[0].org
    subjects = tuple(nats_subject(one.org, one.subject, one.topic) for one in messages)
    sequences = tuple(range(sequence, sequence + len(messages)))
    joined = b"".join(one.id for one in messages)
    return Deliveries(org, "local", f"sb-{org}", "2026-01-01T00:00:00Z", time.time_ns() // 1000, joined, subjects, sequences)


def packed(records: Sequence[Record], mask: bytes | None = None) -> bytes:
    """A flush's bytes. Every record that has an identity is new unless `mask` says otherwise."""
    if mask is None:
        mask = bytes([NEW]) * sum(isinstance(record, Accepted) for record in records)
    return pack_flush(time.time_ns() // 1000, mask, pack_records(records))


class Log:
    """Writes flushes to the feed of a Redis, numbered and trimmed as feed.lua does it."""

    def __init__(self, url: str) -> None:
        self.redis = redis.asyncio.Redis.from_url(url)

    async def write(self, records: Sequence[Record], shard: int = 0, mask: bytes | None = None) -> int:
        """Append one flush; its number."""
        keys = prefix(shard)
        number = int(await self.redis.incr(f"{keys}number"))
        await self.redis.setnx(f"{keys}epoch", secrets.token_hex(8))
        await self.redis.xadd(f"{keys}feed", {"f": packed(records, mask)}, id=f"{number}-0")
        return number

    async def unstored(self, number: int, shard: int = 0) -> None:
        """No store has that flush yet: it waits for a logger."""
        await self.redis.lpush(f"{prefix(shard)}queue", number)

    async def trim(self, *numbers: int, shard: int = 0) -> None:
        await self.redis.xdel(f"{prefix(shard)}feed", *(f"{number}-0" for number in numbers))


class FixedSnapshots:
    """Principals by key, set by the test instead of a store. Every other part of the pod is the real one."""

    def __init__(self) -> None:
        self.current = Snapshot(1, {})
        self.ready, self.lost = True, False

    def add(self, org: str, grants: tuple[Grant, ...] = READ, system: bool = False) -> str:
        """A new key of a new principal."""
        key = secrets.token_urlsafe(32)
        principal = Principal("tester", org, grants, system)
        self.current = Snapshot(self.current.revision + 1, {**self.current.keys, sha256(key.encode()).digest(): principal})
        return key

    def revoke(self, key: str) -> None:
        left = {known: who for known, who in self.current.keys.items() if known != sha256(key.encode()).digest()}
        self.current = Snapshot(self.current.revision + 1, left)

    async def start(self, within: float) -> None: ...

    async def stop(self) -> None: ...


class Watched(Protocol):
    """Where a feed is."""

    def feed_url(self, **parameters: str) -> str: ...


@dataclass
class Pod:
    """A running websocket pod."""

    url: str
    snapshots: FixedSnapshots
    resources: Resources

    @property
    def clients(self) -> int:
        """How many it serves now."""
        return int(self.resources.counters.gauges["feed_clients"]())

    def feed_url(self, **parameters: str) -> str:
        return f"ws{self.url.removeprefix('http')}/v1/feed?{urlencode(parameters)}"


@asynccontextmanager
async def pod(
    redis_url: str,
    secret: Path,
    snapshots: FixedSnapshots,
    limits: Limits | None = None,
    shards: int = 1,
    port: int = 0,
    database: str | None = None,
) -> AsyncIterator[Pod]:
    """The real app under the server that `switchboard up` uses; port 0 takes a free one. With a `database` the query is there, too."""
    settings = Settings(redis_url=redis_url, database_url=database, secret_file=secret, state_dir=secret.parent, log_shards=shards)
    resources = Resources(settings)
    resources.snapshots = snapshots  # type: ignore[assignment]

    async def config() -> tuple[ConfigStore, None]:
        return MemoryConfigStore(), None  # told who signs out

    await resources.once("config", config)

    def functions(given: Resources) -> ASGIApp:
        websocket = build(given, limits)
        return websocket if database is None else Front({"websocket": websocket, "query": build_query(given)})

    edge = Edge("websocket", functions, resources)
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = uvicorn.Server(configuration(edge, BoundedProtocol))
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        running = asyncio.create_task(server._serve([listening]))
        try:
            await eventually(lambda: server.started or running.done())
            yield Pod(f"http://127.0.0.1:{listening.getsockname()[1]}", snapshots, resources)
        finally:
            server.should_exit = True
            await running


@dataclass
class Reader:
    """What a client has seen: ids in order, deliveries, other frames, and the last cursor."""

    connection: ClientConnection
    cursor: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    others: list[dict[str, Any]] = field(default_factory=list)
    frames: int = 0

    @property
    def ids(self) -> list[str]:
        return [one["id"] for one in self.messages]

    @property
    def events(self) -> list[str]:
        return [one["event_id"] for one in self.messages]

    async def frame(self, within: float = 90.0) -> dict[str, Any]:
        """The next frame, also noted. Raises ConnectionClosed, and TimeoutError."""
        async with asyncio.timeout(within):
            text = await self.connection.recv()
        assert isinstance(text, str)
        frame: dict[str, Any] = json.loads(text)
        self.frames += 1
        if "cursor" in frame:
            self.cursor = frame["cursor"]
            self.messages += frame["messages"]
            self.deliveries += frame["deliveries"]
        else:
            self.others.append(frame)
        return frame

    async def until(self, count: int, within: float = 90.0) -> list[str]:
        """Read until so many messages were seen; their event ids. Raises TimeoutError where no other one comes within so many seconds: a
        quiet feed's heartbeats, which are nearer to each other, would have it wait for ever for one that is lost."""
        while (seen := len(self.messages)) < count:
            async with asyncio.timeout(within):
                while len(self.messages) == seen:
                    await self.frame(within)
        return self.events


@asynccontextmanager
async def reading(where: Watched, key: str, **parameters: str) -> AsyncIterator[Reader]:
    """A client with a key, and its first frame read where that is only a cursor."""
    headers = {"Authorization": f"Bearer {key}"}
    subscribed = parameters or {"topic": ">"}
    async with connect(
        where.feed_url(**subscribed), additional_headers=headers, subprotocols=[SUBPROTOCOL], compression=None, max_size=None
    ) as connection:
        reader = Reader(connection)
        if "cursor" not in parameters:
            first = await reader.frame()
            assert first.keys() == {"cursor", "messages", "deliveries"}
        yield reader


def names(count: int, start: int = 0) -> list[str]:
    """Event ids in order."""
    return [f"e-{number}" for number in range(start, start + count)]


def flushes(org: str, events: Iterable[str], size: int = 50) -> list[list[Record]]:
    """The events as flushes of `size` messages."""
    given = [message(org, event) for event in events]
    return [accepted(*given[start : start + size]) for start in range(0, len(given), size)]
