"""The HTTP/1.1 protocol of our server: uvicorn's, with bounds, and with a short way for requests that come whole."""

import asyncio
import re
from typing import cast

from shared.edge.body import LINGER
from shared.edge.lean_uvicorn import HttpToolsProtocol, RequestResponseCycle
from shared.edge.one_write import UNREAD, OneWrite
from shared.edge.refusing import NO_HOST, NOT_HTTP, dated, has_host, whole_answer
from shared.edge.whole import head_of

HEAD_BYTES = 64 * 1024  # a request's line and headers
HEAD_SECONDS = 10.0  # from its first byte to its last
LAST_CALL = 0.5  # seconds for a request that is on its way when the server stops, and for the client of an idle connection to end it

# llhttp ends a request whose head asks for an upgrade right there, and its body is lost (httptools 0.9). A server may pass the header over
# (RFC 9110, 7.8), so it is renamed on anything but a GET: Java's HttpClient sends `Upgrade: h2c` with every POST.
UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=:)", re.IGNORECASE)
PASSED_OVER = b"x-upgrade"


HEAD_TOO_LARGE = whole_answer(b"431 Request Header Fields Too Large", 431, f"the headers are over {HEAD_BYTES} bytes")


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a bound on the size and the time of a request's head: llhttp has neither.

    A POST of events that came whole goes straight to the app's `whole`, where it has one: see shared/edge/whole.py.
    It rests on uvicorn 0.54: `scope` gets its `method` when the head is complete, and is made anew when a request begins.
    """

    _head = 0  # bytes of a head that is not complete yet
    _late: asyncio.TimerHandle | None = None
    _refused = False
    _fault = NOT_HTTP  # what the parser refuses next
    _inside = False  # llhttp is in the middle of a request
    _ended = False  # a request ended in the data that llhttp read last
    _answering = False  # a request that came whole is in hand
    _owed: asyncio.Future[None] | None = None  # its connection is gone: the server that stops waits for this, which the answer ends
    _drained: asyncio.Task[None] | None = None  # its answer waits for the client to read what came before
    _behind: bytes = b""  # what came while it was answered
    _last = False  # the server stops: the connection ends with the next answer
    _ending: RequestResponseCycle | None = None  # the ordinary request whose answer that is
    _called: asyncio.TimerHandle | None = None
    _idle: asyncio.TimerHandle | None = None
    _used = 0.0  # loop time of the last answer to a request that came whole
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, OneWrite(transport, self.loop)))
        self._late = self.loop.call_later(HEAD_SECONDS, self._too_late)
        if getattr(getattr(self.app, "resources", None), "draining", False):  # it was on its way when the server stopped listening
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        if self._refused or (self._last and self.transport.is_closing()):
            return
        if self._answering:
            self._behind += data
            self.transport.pause_reading()
            return
        if not self._inside and data.startswith(b"POST ") and self._take_whole(data):
            return
        if self.scope is None or "method" not in self.scope or self.cycle is None or not self.cycle.more_body:  # a head, or a part of one
            end = data.find(b"\r\n\r\n", 0, HEAD_BYTES - self._head)
            if end < 0 and self._head + len(data) > HEAD_BYTES:
                self._refuse(HEAD_TOO_LARGE)
                return
            if data.find(b"pgrade", 0, end) >= 0 and not self._head and not data.startswith(b"GET "):
                data = UPGRADE.sub(PASSED_OVER, data[:end]) + data[end:]
        self._ended = False
        super().data_received(data)
        if self._refused:
            return
        in_head = self.scope is None or "method" not in self.scope
        if self._late is not None and (self._ended or not in_head):
            self._head = 0
            self._late.cancel()
            self._late = None
        if in_head:
            self._head += 1 if self._ended else len(data)  # where it began, behind the end of another, nobody says
            if self._late is None:
                self._late = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._late, self._idle, self._called, self._unread):
            if timer is not None:
                timer.cancel()
        if isinstance(self.transport, OneWrite):
            self.transport.gone()
        if self._answering:
            self._owed = self.loop.create_future()
            self.tasks.add(cast("asyncio.Task[None]", self._owed))
            self._owed.add_done_callback(self.tasks.discard)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client is behind with reading: whoever takes nothing at all holds its answer, and a connection, for a while only."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD, self._look_unread, self.transport.get_write_buffer_size())

    def _look_unread(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= before:
            self.transport.abort()
        else:
            self._unread = self.loop.call_later(UNREAD, self._look_unread, left)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def on_message_begin(self) -> None:
        self._inside = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if not has_host(self.headers, self.parser.get_http_version()):
            self._fault = NO_HOST
            raise ValueError("no host")  # which the parser takes for the end
        before = self.cycle
        super().on_headers_complete()
        if self._last and self.cycle is not None and self.cycle is not before:
            self._end_with(self.cycle)

    def on_message_complete(self) -> None:
        self._inside, self._ended = False, True
        super().on_message_complete()

    def shutdown(self) -> None:
        """The server stops: the connection ends with the last answer in hand, or with that to a request which is on its way. Nobody who
        sends meanwhile is cut off: a reset would take the answer along."""
        if self._last:
            return
        self._last, cast(OneWrite, self.transport).linger = True, LINGER
        if not self._answering and self.cycle is not None and not self.cycle.response_complete:
            self._end_with(self.pipeline[0][0] if self.pipeline else self.cycle)
        self._called = self.loop.call_later(LAST_CALL, self._last_call)

    def _end_with(self, cycle: RequestResponseCycle) -> None:
        """This answer says that it is the last, and not the one before it: what was read is answered."""
        if self._ending is not None and not self._ending.response_started:
            self._ending.keep_alive = True
        if cycle.keep_alive:
            self._ending, cycle.keep_alive = cycle, False

    def _last_call(self) -> None:
        """End it, unless something is being read or answered: that has bounds of its own."""
        if self._answering or self._inside or (self.cycle is not None and not self.cycle.response_complete):
            self._called = self.loop.call_later(LAST_CALL, self._last_call)
        elif not self.transport.is_closing():
            cast(OneWrite, self.transport).linger = LAST_CALL
            self.transport.close()

    def _take_whole(self, data: bytes) -> bool:
        """Whether this is one whole POST of events, with nothing before it that waits for its answer: then it is being answered."""
        whole, end = getattr(self.app, "whole", None), data.find(b"\r\n\r\n") + 4
        if whole is None or end < 4 or (self.cycle is not None and not self.cycle.response_complete):
            return False
        head = head_of(data, end)
        if head is None or len(data) - end != head.length:
            return False
        self._unset_keepalive_if_required()
        if self._late is not None:
            self._late.cancel()
            self._late = None
        self._answering = True
        whole(head, data[end:], self.client, self._answered)
        return True

    def _answered(self, response: bytes) -> None:
        if self.flow.write_paused:
            self._drained = self.loop.create_task(self._write_drained(response))
        else:
            self._write(response)

    async def _write_drained(self, response: bytes) -> None:
        await self.flow.drain()
        self._write(response)

    def _write(self, response: bytes) -> None:
        response = dated(response, self.server_state.default_headers)
        self._answering = False
        if self._owed is not None and not self._owed.done():
            self._owed.set_result(None)
        self.server_state.total_requests += 1
        transport = cast(OneWrite, self.transport)
        if transport.is_closing():
            return
        if self._last and not self._behind:  # said, so that nobody sends a next one into the close
            transport.write_now(response.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
            transport.close()
            return
        transport.write_now(response)
        self._used = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._look_idle)
        if self._behind:
            data, self._behind = self._behind, b""
            transport.resume_reading()
            self.data_received(data)

    def _look_idle(self) -> None:
        """One timer a connection, and not one a request: it closes where nothing came since the last answer to a whole request."""
        self._idle = None
        if self._answering or self._inside or (self.cycle is not None and not self.cycle.response_complete):
            left = float(self.timeout_keep_alive)
        else:
            left = max(self._used + self.timeout_keep_alive - self.loop.time(), 0)
        if left:
            self._idle = self.loop.call_later(left, self._look_idle)
        elif self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_handler()

    def handle_websocket_upgrade(self) -> None:
        """The WebSocket's protocol gets uvloop's own transport: it writes a frame at a time."""
        if self._last:
            self.transport.close()
            return
        if self._unread is not None:
            self._unread.cancel()
        if isinstance(self.transport, OneWrite):
            self.transport.flush()
            self.transport = self.transport.whole
        super().handle_websocket_upgrade()

    def _should_upgrade(self) -> bool:
        """Only a GET opens a WebSocket (RFC 6455, 4.1). On anything else the header is passed over (RFC 9110, 7.8)."""
        return self.scope.get("method") == "GET" and super()._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """The parser has stopped at a head, so nobody knows where the next one begins: the connection ends with this answer."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """What the parser refuses. It says no more than that, so this names what it may be."""
        self._refuse(self._fault)

    def _refuse(self, response: bytes) -> None:
        """Answer and close, but read on for a moment: a close under a client that still sends resets the connection, answer and all."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # the request before is whole, and is being answered: that answer stands, and ends the connection
                cycle.keep_alive = False
                return
            started, cycle.disconnected = cycle.response_started, True
            cycle.message_event.set()
        else:
            started = False
        if not started:
            self.transport.write(dated(response, self.server_state.default_headers))
        self.transport.write_eof()
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(LINGER, self._too_late)

    def _too_late(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self.transport.close()
