"""uvicorn's WebSocket protocol, with bounds for peers that don't read or send garbage. Give it as `ws=` to the server that hosts the feed.

Source: uvicorn 0.54, `websockets_sansio_impl`. There, a close waits for a peer that doesn't read, and pongs are written to it without end.
"""

from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

FEED = "/v1/feed"
FEED_FRAME_BYTES = 64 * 1024  # what a client of the feed may send in one message
FRAGMENTS = 1_024  # of one message: empty ones are free for who sends them, not for who keeps them


class BoundedProtocol(WebSocketsSansIOProtocol):
    """Reads nothing from a peer that reads nothing, and closes without asking it."""

    def handle_connect(self, event: Request) -> None:
        """Bound the messages of a feed's client before any comes."""
        if event.path.partition("?")[0] == FEED:
            self.conn.max_message_size = FEED_FRAME_BYTES
        super().handle_connect(event)

    def handle_cont(self, event: Frame) -> None:
        """Refuse a message of too many fragments."""
        if len(self.frames) >= FRAGMENTS:
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def pause_writing(self) -> None:
        """The peer doesn't take what it gets: no more of its pings to answer until it does."""
        super().pause_writing()
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]  # uvicorn's TypedDicts, to ASGI's own type
        """A close goes behind what is buffered at once; a peer that doesn't take it in time is dropped, not waited for."""
        stuck = message["type"] == "websocket.close" and self.handshake_complete and not self.writable.is_set()
        if not stuck:
            await super().send(message)  # type: ignore[arg-type]
            if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
                self.handshake_complete = True  # answered, if with a refusal: else uvicorn logs an error for what any outsider can do
            return
        self.writable.set()
        await super().send(message)  # type: ignore[arg-type]
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)
