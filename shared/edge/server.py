"""uvicorn as we run it: uvloop and httptools, bounded headers, shared sockets, and an end that loses nothing it accepted."""

import asyncio
import gc
import logging
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.codec import encode_problem
from shared.domain.errors import Malformed, Misconfigured
from shared.edge import logs
from shared.edge.app import Edge
from shared.edge.body import LINGER
from shared.edge.one_write import OneWrite
from shared.settings import Settings

log = logging.getLogger(__name__)

HEAD_BYTES = 64 * 1024  # a request's line and headers
HEAD_SECONDS = 10.0  # from its first byte to its last
GRACE = 20  # seconds that what was accepted has to finish; below Kubernetes' 30
BACKLOG = 2_048
COLLECT = (20_000, 20, 50)  # objects, and collections of the younger: messages hold no cycles, so there is little to find

# llhttp ends a request whose head asks for an upgrade right there, and its body is lost (httptools 0.9). A server may pass the header over
# (RFC 9110, 7.8), so it is renamed on anything but a GET: Java's HttpClient sends `Upgrade: h2c` with every POST.
UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=:)", re.IGNORECASE)
PASSED_OVER = b"x-upgrade"


def _whole_answer(line: bytes, status: int, detail: str) -> bytes:
    body = encode_problem(Malformed(detail, status=status))
    head = b"HTTP/1.1 %b\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (line, len(body)) + body


HEAD_TOO_LARGE = _whole_answer(b"431 Request Header Fields Too Large", 431, f"the headers are over {HEAD_BYTES} bytes")
NOT_HTTP = _whole_answer(
    b"400 Bad Request",
    400,
    "this is not HTTP/1.1 as RFC 9112 has it: look at the request line, at control characters in header values, and at Content-Length "
    "and Transfer-Encoding, of which a request has one at most",
)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a bound on the size and the time of a request's head: llhttp has neither.

    It rests on uvicorn 0.54: `scope` gets its `method` when the head is complete, and is made anew when a request begins.
    """

    _head = 0  # bytes of a head that is not complete yet
    _late: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, OneWrite(transport, self.loop)))
        self._late = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self.scope is None or "method" not in self.scope or self.cycle is None or not self.cycle.more_body:  # a head, or a part of one
            end = data.find(b"\r\n\r\n", 0, HEAD_BYTES - self._head)
            if end < 0 and self._head + len(data) > HEAD_BYTES:
                self._refuse(HEAD_TOO_LARGE)
                return
            if data.find(b"pgrade", 0, end) >= 0 and not self._head and not data.startswith(b"GET "):
                data = UPGRADE.sub(PASSED_OVER, data[:end]) + data[end:]
        super().data_received(data)
        if self._refused:
            return
        if self.scope is None or "method" not in self.scope:
            self._head += len(data)
            if self._late is None:
                self._late = self.loop.call_later(HEAD_SECONDS, self._too_late)
        elif self._late is not None:
            self._head = 0
            self._late.cancel()
            self._late = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """The WebSocket's protocol gets uvloop's own transport: it writes a frame at a time."""
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
        self._refuse(NOT_HTTP)

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
            self.transport.write(response)
        self.transport.write_eof()
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(LINGER, self._too_late)

    def _too_late(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server that says at once that it drains, and ends with status 0 when it was told to stop."""

    def __init__(self, edge: Edge, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._edge = edge

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then take everything made so far out of the garbage collector's sight (measured: it was 22 % of a request)."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM and SIGINT: not ready any more. A second SIGINT ends at once."""
        if self._edge.resources is not None:
            self._edge.resources.draining = True
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals while serving; uvicorn's own would raise them again at the end."""
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self.handle_exit, sig, None)
        try:
            yield
        finally:
            for sig in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(sig)


def configuration(edge: Edge, websockets: type[asyncio.Protocol] | None = None) -> uvicorn.Config:
    """How every process of ours serves HTTP, and WebSockets where it is given their protocol."""
    return uvicorn.Config(
        edge,
        loop="uvloop",
        http=BoundedProtocol,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE,
        ws=websockets or "none",
        ws_max_size=2 * 1024 * 1024,
        ws_per_message_deflate=False,
    )


def run(edge: Edge, websockets: type[asyncio.Protocol] | None = None) -> int:
    """serve() by the environment's settings: on the inherited socket of SWITCHBOARD_FRONT_FD, else on SWITCHBOARD_BIND and PORT."""
    logs.configure()
    try:
        settings = Settings.from_env()
    except Misconfigured as error:
        return _misconfigured(error)
    return serve(edge, settings.bind, settings.port, settings.front_fd, websockets)


def serve(edge: Edge, host: str, port: int, descriptor: int | None = None, websockets: type[asyncio.Protocol] | None = None) -> int:
    """Serve until SIGTERM; the exit status. `descriptor` is a listening socket that other processes may share."""
    logs.configure()
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # its warnings are what any client can cause
    try:
        listening = socket.socket(fileno=descriptor) if descriptor is not None else listen(host, port)
    except OSError as error:
        return _misconfigured(Misconfigured(f"can't listen on {host}:{port}: {error.strerror}"))
    try:
        Server(edge, configuration(edge, websockets)).run(sockets=[listening])
    except SystemExit:  # uvicorn's, for an app that doesn't start
        if edge.misconfigured is None:
            raise
        return _misconfigured(edge.misconfigured)
    return 0


def _misconfigured(error: Misconfigured) -> int:
    log.critical("misconfigured: %s", error.detail)
    return error.EXIT_CODE


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening
