"""One face for every door: events go in as JSON, each by itself, and each one's receipt comes out as an item of a batch's answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import httpx
import redis
import redis.asyncio
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from shared.domain.message import Message
from shared.domain.record import Accepted, Attempt, unpack_flush
from tests.integration.doors.nats_doors import Requests, Submits
from tests.integration.doors.redis_door import Lists
from tests.integration.fronts import FrontProcess
from tests.integration.nats_source.conftest import connected, served
from tests.integration.services import Service

Receipt = dict[str, Any]
BATCH = {"content-type": "application/cloudevents-batch+json"}
STRUCTURED = {"content-type": "application/cloudevents+json"}
TOGETHER = 500  # events a batch
WITHIN = 60.0  # seconds for what is sent at once


@dataclass
class House:
    """The processes with doors, on one log, one store and one config."""

    front: FrontProcess
    sources: Sequence[Service]
    redis: str
    nats: str
    _log: "Log" = field(init=False)

    def __post_init__(self) -> None:
        self._log = Log(self.redis)

    @property
    def org(self) -> str:
        return self.front.org

    def healthy(self) -> bool:
        return self.front.ready() and all(source.ready() for source in self.sources)

    def records(self) -> dict[str, list[Accepted | Attempt]]:
        """See logged()."""
        return self._log.records()


class Log:
    """What the log in a Redis has, and had at an earlier look: each look reads what came since, not all the tests before sent."""

    def __init__(self, url: str) -> None:
        self._url, self._from = url, "-"
        self._found: dict[str, list[Accepted | Attempt]] = {}

    def records(self) -> dict[str, list[Accepted | Attempt]]:
        """See logged()."""
        with redis.Redis.from_url(self._url) as log:
            entries: Any = log.xrange("sb:log:{0}:feed", self._from)
        for number, fields in entries:
            for _, record in unpack_flush(int(number.partition(b"-")[0]), fields[b"f"]).new():
                if isinstance(record, Accepted | Attempt):
                    self._found.setdefault(record.message.event_id, []).append(record)
            self._from = f"({number.decode()}"
        return self._found


def logged(url: str) -> dict[str, list[Accepted | Attempt]]:
    """What the log in a Redis has of each event id, in the order logged."""
    return Log(url).records()


class Door(Protocol):
    """`name` is the door's in records."""

    name: str

    async def send(self, events: Sequence[bytes]) -> list[Receipt]:
        """The receipts of these events, sent one after the other and all at once."""


class TakesArrays(Door, Protocol):
    """A door where many events may be one array."""

    async def send_array(self, events: Sequence[bytes]) -> list[Receipt]:
        """The receipts of these events, sent as one array."""


class Http:
    """POST /v1/events: events that stand in an array go in batches, others alone."""

    name = "http"

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(self, events: Sequence[bytes]) -> list[Receipt]:
        receipts: list[Receipt] = []
        waiting: list[bytes] = []
        for event in events:
            if not _is_object(event):
                receipts += await self._batch(waiting)
                receipts.append(await self._single(event))
                waiting = []
                continue
            waiting.append(event)
            if len(waiting) == TOGETHER:
                receipts += await self._batch(waiting)
                waiting = []
        return receipts + await self._batch(waiting)

    async def send_array(self, events: Sequence[bytes]) -> list[Receipt]:
        return await self._batch(events)

    async def _batch(self, events: Sequence[bytes]) -> list[Receipt]:
        if not events:
            return []
        answer = await self._client.post("/v1/events", headers=BATCH, content=b"[" + b",".join(events) + b"]")
        found: list[Receipt] = answer.json()["receipts"]
        return found

    async def _single(self, event: bytes) -> Receipt:
        answer = await self._client.post("/v1/events", headers=STRUCTURED, content=event)
        found: Receipt = answer.json()
        if answer.status_code == 202:
            return found
        status = found["type"].rpartition(":")[2]
        return {"id": found.get("instance"), "status": "malformed" if status == "malformed" else "blocked", "problem": found}


def _is_object(event: bytes) -> bool:
    """Whether a batch can tell it from its neighbours, whatever else is wrong with it."""
    try:
        return len(event) < 100_000 and isinstance(json.loads(event), dict)
    except (ValueError, RecursionError):
        return False


class Socket:
    """GET /v1/events upgraded: one event a frame."""

    name = "websocket"

    def __init__(self, front: FrontProcess, subprotocol: str, key: str) -> None:
        self._open = partial(
            connect,
            f"ws://127.0.0.1:{front.port}/v1/events",
            additional_headers={"authorization": f"Bearer {key}"},
            subprotocols=[Subprotocol(subprotocol)],
            compression=None,
            max_size=None,
            max_queue=None,
        )

    async def send(self, events: Sequence[bytes]) -> list[Receipt]:
        async with self._open() as socket, asyncio.timeout(WITHIN):

            async def send() -> None:
                for event in events:
                    await socket.send(event, text=True)

            sending = asyncio.create_task(send())
            answers = [json.loads(await socket.recv()) for _ in events]
            await sending
        return self._read(answers)

    async def send_array(self, events: Sequence[bytes]) -> list[Receipt]:
        async with self._open() as socket, asyncio.timeout(WITHIN):
            await socket.send(b"[" + b",".join(events) + b"]", text=True)
            found: list[Receipt] = json.loads(await socket.recv())["receipts"]
        return found

    def _read(self, answers: list[dict[str, Any]]) -> list[Receipt]:
        return [answer["data"] if "data" in answer else answer["receipts"][0] for answer in answers]


DOORS = ("http", "switchboard.events.v1", "cloudevents.json", "redis", "nats", "nats submit")


@asynccontextmanager
async def doors_of(house: House, key: str, *names: str) -> AsyncIterator[list[Door]]:
    """The doors of these names, of DOORS, with a key where they take one."""
    async with AsyncExitStack() as stack:
        found: list[Door] = []
        for name in names:
            if name == "http":
                headers = {"authorization": f"Bearer {key}"}
                client = httpx.AsyncClient(base_url=house.front.url, headers=headers, timeout=WITHIN)
                found.append(Http(await stack.enter_async_context(client)))
            elif name == "redis":
                lists: Any = redis.asyncio.Redis.from_url(house.redis)
                found.append(Lists(await stack.enter_async_context(lists), house.org, house.records))
            elif name in ("nats", "nats submit"):
                agent = await stack.enter_async_context(connected(house.nats, house.org))
                await served(agent)
                found.append(Requests(agent) if name == "nats" else Submits(agent))
            else:
                found.append(Socket(house.front, name, key))
        yield found


def same_but_for_the_door(message: Message) -> tuple[object, ...]:
    """What of a recorded message no door may change; its identity is the test's own for each door.

    Where its receipt goes an event says itself at the Redis door, by the extension `replyto`.
    """
    extensions = {name: value for name, value in (message.extensions or {}).items() if name != "replyto"}
    return (
        message.org, message.topic, message.subject, message.type, message.time, message.datacontenttype, message.dataschema,
        extensions, message.body, message.revision,
    )  # fmt: skip
