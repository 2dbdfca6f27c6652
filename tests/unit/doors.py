"""A door of ingest without servers: what it submits is kept, and answered as the test says."""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import httpx

from functions.ingest.api import Door
from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Delivery, Outcome, Receipt
from shared.edge.body import Deadlines
from shared.edge.flight import Flight
from shared.edge.metrics import Counters
from shared.edge.principals import Principals

KEY = "sb_unit"
PRINCIPAL = Principal("tester", "acme", (Grant("admin"),))
BEARER = {"authorization": f"Bearer {KEY}"}
BINARY = {**BEARER, "ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/shop", "ce-type": "order", "content-type": "application/json"}
STRUCTURED = {**BEARER, "content-type": "application/cloudevents+json"}
BATCH = {**BEARER, "content-type": "application/cloudevents-batch+json"}


def event(id: str = "e1", **more: object) -> dict[str, object]:
    """A structured event."""
    return {"specversion": "1.0", "id": id, "source": "/shop", "type": "order", "data": {"sku": "a"}, **more}


def accepted(message: Message) -> Outcome:
    return Receipt(message, 42, (Delivery("local", "sb-acme", 7),))


class State:
    """The config state of the test."""

    def __init__(self) -> None:
        self.current = Snapshot(revision=42, keys={sha256(KEY.encode()).digest(): PRINCIPAL})


class Doorway:
    """A door with its surroundings. `judge` gives the outcome of each message; `hold` keeps submissions waiting until it is set."""

    def __init__(self, flight: Flight | None = None, deadline: float = 30.0, origins: frozenset[str] = frozenset()) -> None:
        self.judge: Callable[[Message], Outcome] = accepted
        self.submitted: list[Message] = []
        self.go = asyncio.Event()
        self.go.set()
        self.state = State()
        self.counters = Counters()
        self.flight = flight or Flight()
        self.door = Door(
            self.submit,
            Principals(self.state),
            self.counters,
            self.flight,
            cluster="here",
            webhook_origins=origins,
            deadlines=Deadlines(deadline),
        )

    async def submit(self, messages: Sequence[Message], principal: Principal) -> list[Outcome]:
        assert principal == PRINCIPAL
        self.submitted += messages
        await self.go.wait()
        return [self.judge(message) for message in messages]

    async def request(self, method: str = "POST", headers: dict[str, str] | None = None, **content: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.door)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return await client.request(method, "/v1/events", headers=BINARY if headers is None else headers, **content)


def problem(response: httpx.Response) -> dict[str, Any]:
    """The problem of an answer, checked to be one."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert {"type", "title", "detail"} <= document.keys()
    return document
