"""What goes out to a WebSocket's client, bounded in time: one that doesn't read is not waited for."""

import asyncio
from collections.abc import Sequence

from shared.edge.asgi import Event, Scope, Send

UNSUPPORTED, POLICY, TOO_BIG, INTERNAL, RESTART, TRY_LATER = 1003, 1008, 1009, 1011, 1012, 1013  # RFC 6455, 7.4.1, and its registry
TEXTS = "switchboard.texts"  # the ASGI extension of our server: many texts at once, as bytes (functions/websocket/protocol.py)


class Close(Exception):
    """Why and with which code our side ends the connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Outgoing:
    """Our side of an accepted WebSocket. `seconds` is how long the client has to take a message."""

    def __init__(self, scope: Scope, send: Send, seconds: float) -> None:
        self._send, self._seconds = send, seconds
        self._many = TEXTS in scope.get("extensions", {})

    async def text(self, text: str) -> None:
        """Send one text. Raises Close for a client that takes nothing, OSError where it is gone (ASGI spec 2.4)."""
        await self._within({"type": "websocket.send", "text": text})

    async def texts(self, texts: Sequence[bytes]) -> None:
        """Send texts in order, each a message of its own. Raises as text() does."""
        if self._many:
            await self._within({"type": "websocket.send", "texts": texts})
            return
        for text in texts:
            await self.text(text.decode())

    async def close(self, code: int, reason: str) -> None:
        """A client that doesn't read gets no more time to take its close than it gets for a message."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except (TimeoutError, OSError, RuntimeError):
            return  # it is gone, or was closed from the other side meanwhile

    async def _within(self, event: Event) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(event)
        except TimeoutError:
            raise Close(TRY_LATER, "the client does not read") from None
