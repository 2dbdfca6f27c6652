"""The client of the feed that tests read with: it fails where a message is lost, on a quiet feed, too."""

import asyncio
import json
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection

from tests.feed import Reader

HEARTBEAT: dict[str, Any] = {"heartbeat": "2026-01-31T12:00:00Z"}


class Feed:
    """Says what it is given, and then heartbeats for ever."""

    def __init__(self, *events: str) -> None:
        self._left = [{"cursor": "c", "messages": [{"event_id": event}], "deliveries": []} for event in events]

    async def recv(self) -> str:
        await asyncio.sleep(0.001)
        return json.dumps(self._left.pop(0) if self._left else HEARTBEAT)


def reader(*events: str) -> Reader:
    return Reader(cast(ClientConnection, Feed(*events)))


async def test_reading_ends_when_messages_are_lost_and_only_heartbeats_come() -> None:
    client = reader("one")
    async with asyncio.timeout(30):
        with pytest.raises(TimeoutError):
            await client.until(2, within=1.0)
    assert client.events == ["one"]
    assert HEARTBEAT in client.others


async def test_reading_goes_on_when_messages_come_one_after_the_other() -> None:
    assert await reader("one", "two", "three").until(3) == ["one", "two", "three"]
