"""uvicorn as we run it: uvloop and httptools, bounded headers, shared sockets, and an end that loses nothing it accepted."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared.domain.errors import Misconfigured
from shared.edge import logs
from shared.edge.app import Edge
from shared.edge.lean_uvicorn import Config
from shared.edge.lean_uvicorn import Server as UvicornServer
from shared.edge.protocol import BoundedProtocol
from shared.settings import Settings

log = logging.getLogger(__name__)

GRACE = 20  # seconds that what was accepted has to finish; below Kubernetes' 30
BACKLOG = 2_048
COLLECT = (20_000, 20, 50)  # objects, and collections of the younger: messages hold no cycles, so there is little to find


class Server(UvicornServer):
    """uvicorn's server that says at once that it drains, and ends with status 0 when it was told to stop."""

    def __init__(self, edge: Edge, config: Config) -> None:
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


def configuration(edge: Edge, websockets: type[asyncio.Protocol] | None = None) -> Config:
    """How every process of ours serves HTTP, and WebSockets where it is given their protocol."""
    return Config(
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
