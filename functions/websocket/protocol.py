"""uvicorn's WebSocket protocol, with bounds for peers that don't read or send garbage. Give it as `ws=` to the server that hosts the feed.

Source: uvicorn 0.54, `websockets_sansio_impl`. There, a close waits for a peer that doesn't read, and pongs are written to it without end.
"""

import asyncio
from collections import Counter
from collections.abc import MutableMapping, Sequence
from typing import Any

from websockets import http11
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import OPEN

from functions.websocket.outgoing import POLICY, RESTART, TEXTS, TRY_LATER
from shared.domain.errors import Fault
from shared.edge.body import LINGER
from shared.edge.lean_uvicorn import LATE
from shared.edge.protocol import HEAD_BYTES
from shared.edge.refusing import dated, whole_answer
from shared.lean_import import lean

with lean(LATE):
    from uvicorn.protocols.utils import ClientDisconnected
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

EVENTS, FEED = "/v1/events", "/v1/feed"
FRAME_BYTES = {EVENTS: 8 * 1024 * 1024, FEED: 64 * 1024}  # what a client may send in one message
FRAGMENTS = 1_024  # of one message: empty ones are free for who sends them, not for who keeps them
PINGS = 100  # a second
UNFINISHED = (
    64 * 1024 * 1024
)  # bytes of messages that aren't whole yet, or that there is no room for yet, over all connections of the process
# Of a head, which came whole and within its bounds: websockets' own are 8 KiB a line, as long as a token may be, and 128 headers.
http11.MAX_LINE_LENGTH = http11.MAX_NUM_HEADERS = HEAD_BYTES
NO_HANDSHAKE = whole_answer(
    b"400 Bad Request",
    400,
    "a request that opens a WebSocket has no body: leave out Content-Length and Transfer-Encoding",
    Fault("Content-Length", "not on a GET that upgrades"),
)
SMALL = 320 * 1024  # of one connection, more than one read brings: does not count, the others wait with it


class Unfinished:
    """How much all connections together hold of messages that aren't whole yet, or that the app has no room for yet.

    An org may hold as much as it leaves free; whoever isn't known yet is of the org "".
    """

    def __init__(self, limit: int = UNFINISHED) -> None:
        self.bytes, self._limit = 0, limit
        self._of_orgs: Counter[str] = Counter()

    def hold(self, org: str, more: int) -> None:
        """So many bytes more, or less, of an org's."""
        self.bytes += more
        self._of_orgs[org] += more
        if not self._of_orgs[org]:
            del self._of_orgs[org]

    def too_much(self, org: str) -> bool:
        """Whether the org holds more than it may."""
        return self._of_orgs[org] > self._limit - self.bytes


class BoundedProtocol(WebSocketsSansIOProtocol):
    """Reads nothing from a peer that reads nothing, and closes without asking it.

    For the events door it hands text on as the bytes that came (`utf8`), takes many texts at once (`texts`), and lets the app answer
    what it has in hand when the server stops.
    """

    unfinished = Unfinished()  # of the process
    _events = False
    _failed = False
    _held = _whole = 0  # what counts of it; bytes of whole messages that the app has no room for yet
    _org = ""  # whose that is
    _pings = 0
    _second = 0.0

    def handle_connect(self, event: Request) -> None:
        """Bound the client's messages before any comes."""
        path = event.path.partition("?")[0]
        self.conn.max_message_size = FRAME_BYTES.get(path, FRAME_BYTES[FEED])
        super().handle_connect(event)
        if path == EVENTS and hasattr(self, "scope"):
            self._events = True
            self.scope["extensions"][TEXTS] = {"taken": self._taken}

    def handle_parser_exception(self) -> None:
        """Close, but read on for a moment: a close under a peer that still sends resets the connection, and the reason is lost."""
        if self._failed:
            return
        self._failed = True
        assert self.conn.close_sent is not None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": self.conn.close_sent.code, "reason": self.conn.close_sent.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(LINGER, self.transport.close)

    def data_received(self, data: bytes) -> None:
        """Read, unless everybody's unfinished messages together are too much: then the one that adds to them goes."""
        if self._failed:
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._refuse_head()
        elif self._events:
            self._note_held()
            if self._held and self.unfinished.too_much(self._org) and not self.close_sent:
                self.conn.fail(TRY_LATER, "too many large messages are under way here")
                self.handle_parser_exception()

    def _refuse_head(self) -> None:
        """What llhttp takes for a request, and websockets for none: uvicorn waits for its client to go, so that anybody could keep any
        number of connections."""
        self._failed = self.close_sent = self.handshake_complete = True
        self.transport.write(dated(NO_HANDSHAKE, self.default_headers))
        self.close_timer = self.loop.call_later(LINGER, self.transport.close)

    def _note_held(self) -> None:
        """Count what this connection holds."""
        held = self._whole if self.disconnected else len(self.conn.reader.buffer) + sum(map(len, self.frames)) + self._whole
        held = held if held > SMALL else 0
        if held != self._held:
            org = str(self.scope["extensions"][TEXTS].get("org", ""))
            self.unfinished.hold(self._org, -self._held)
            self.unfinished.hold(org, held)
            self._held, self._org = held, org

    def _taken(self, size: int) -> None:
        """The app has room for so many bytes that it was handed, and counts them from now on."""
        self._whole -= size
        if self._held:
            self._note_held()

    def connection_lost(self, exc: Exception | None) -> None:
        """What it held of a message that isn't whole is gone with it."""
        super().connection_lost(exc)
        if self._held:
            self._note_held()

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        """The app has gone: nobody takes what waits."""
        super().on_task_complete(task)
        if self._held:
            self._whole = 0
            self._note_held()

    def send_receive_event_to_app(self) -> None:
        """Text for the events door goes on undecoded: its decoder reads bytes, and says where they are no UTF-8."""
        if not self._events or self.curr_msg_data_type != "text":
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        self._whole += len(data)
        self.queue.put_nowait({"type": "websocket.receive", "utf8": data})  # type: ignore[arg-type]  # uvicorn's events have no such member
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def handle_ping(self) -> None:
        """Answer, within reason."""
        now = self.loop.time()
        if now - self._second >= 1:
            self._second, self._pings = now, 0
        self._pings += 1
        if self._pings > PINGS and not self.close_sent:
            self.conn.fail(POLICY, "too many pings")
            self.handle_parser_exception()
        elif not self.close_sent:
            super().handle_ping()

    def shutdown(self) -> None:
        """The server stops. A client of the events door gets the receipts of what was taken first; its app closes then."""
        if not self._events or self.close_sent or not self.handshake_complete or self.transport.is_closing():
            super().shutdown()
            return
        self.read_paused = True
        self.transport.pause_reading()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": RESTART})

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
        if "texts" in message:
            await self._send_texts(message["texts"])
            return
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

    async def _send_texts(self, texts: Sequence[bytes]) -> None:
        """Each a message in one frame, all of them one write (RFC 6455, 5.2)."""
        await self.writable.wait()
        if self.disconnected or self.conn.state is not OPEN or self.transport.is_closing():
            raise ClientDisconnected
        self.transport.write(b"".join([part for text in texts for part in (_head(len(text)), text)]))


def _head(length: int) -> bytes:
    """The head of an unmasked text frame that is a whole message."""
    if length < 126:
        return bytes((0x81, length))
    return b"\x81\x7e" + length.to_bytes(2) if length < 65_536 else b"\x81\x7f" + length.to_bytes(8)
