"""A client of the WebSocket door: its frames, and what comes back."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.integration.fronts import FrontProcess

CLOUDEVENTS, SWITCHBOARD = Subprotocol("cloudevents.json"), Subprotocol("switchboard.events.v1")


def event(id: str | None = None, **more: Any) -> dict[str, Any]:
    """A structured event with an id of its own."""
    return {"specversion": "1.0", "id": id or uuid4().hex, "source": "/socket", "type": "order", "data": {"sku": "a"}, **more}


def text(*events: dict[str, Any]) -> str:
    """A frame: one event, or an array of several."""
    return json.dumps(events[0] if len(events) == 1 else events)


@asynccontextmanager
async def opened(front: FrontProcess, subprotocol: Subprotocol = SWITCHBOARD, **headers: str) -> AsyncIterator[ClientConnection]:
    """A WebSocket to the events door, with the front's key unless `headers` has another."""
    given = front.bearer | headers
    url = f"ws://127.0.0.1:{front.port}/v1/events"
    async with connect(
        url, additional_headers=given, subprotocols=[subprotocol], compression=None, max_size=None, max_queue=None
    ) as socket:
        yield socket


async def receipts(socket: ClientConnection) -> list[dict[str, Any]]:
    """Those of the next frame."""
    async with asyncio.timeout(30):
        found: list[dict[str, Any]] = json.loads(await socket.recv())["receipts"]
    return found


async def closed(socket: ClientConnection, within: float = 90) -> int | None:
    """The code of the close that comes; what comes before it is let go."""
    async with asyncio.timeout(within):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed:
            return socket.close_code
