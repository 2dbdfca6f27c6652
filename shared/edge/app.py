"""The edge: what every function has around it. Health, metrics, errors and the request log line; POST /v1/events goes straight through."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from time import perf_counter
from typing import TypeAlias

import msgspec

from shared.domain.errors import Misconfigured, SwitchboardError
from shared.edge import metrics
from shared.edge.asgi import JSON, NO_STORE, ASGIApp, Event, Receive, Scope, Send, answer, header, json_bytes
from shared.edge.lifespan import lifespan_of
from shared.edge.logs import log_request
from shared.edge.problems import answer_problem, problem_document, problem_headers
from shared.edge.whole import Whole
from shared.resources import Resources

log = logging.getLogger("switchboard.request")

EVENTS_PATHS = frozenset(("/v1/events", "/"))


class WithEvents(msgspec.Struct, frozen=True):
    """An ASGI app; the app that takes POST /v1/events (and POST /) from it on the fast path; what takes those that came whole, if any."""

    app: ASGIApp
    events: ASGIApp
    whole: Whole | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app's answer."""
        await self.app(scope, receive, send)


Build: TypeAlias = Callable[[Resources], ASGIApp]
Prepare: TypeAlias = Callable[[Resources], Awaitable[None]]


async def _nothing(resources: Resources) -> None:
    """What most functions have to prepare."""


async def _not_started(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("the server must run the app's lifespan before it sends requests")


class Edge:
    """The ASGI app around what `build` makes of the process's resources when the server starts it; `prepare` runs before, while the first
    snapshot is on its way.

    `name` is the function's name in logs. Without `resources` they are made of the environment's settings.
    """

    def __init__(self, name: str, build: Build, resources: Resources | None = None, prepare: Prepare = _nothing) -> None:
        self.name = name
        self._build = build
        self._prepare = prepare
        self.resources = resources
        self.misconfigured: Misconfigured | None = None  # why the start failed, when an operator must act
        self._app: ASGIApp = _not_started
        self._events: ASGIApp = _not_started
        self.whole: Whole | None = None  # for a server that sees that a request came whole; None: everything is ASGI
        self._stack = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, one WebSocket, or the server's lifespan."""
        if scope["type"] == "http":
            if scope["method"] == "POST" and scope["path"] in EVENTS_PATHS:
                await self._events(scope, receive, send)
            else:
                await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._lifespan(receive, send)

    # ---- start and stop -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Get the first snapshot, then build the function's app and run its own start. Raises Misconfigured."""
        resources = self.resources = self.resources or Resources.from_env()
        self._stack.push_async_callback(resources.stop)
        preparing = asyncio.ensure_future(self._prepare(resources))
        try:
            await resources.start()
        except BaseException:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
            raise
        await preparing
        app = self._build(resources)
        resources.follow_issuers()
        await self._stack.enter_async_context(lifespan_of(app))
        self._app = app
        if isinstance(app, WithEvents):
            self._events, self.whole = app.events, app.whole
        else:
            self._events = self._request

    async def stop(self) -> None:
        """Stop the function's app, then close the adapters. The server has let every request finish."""
        await self._stack.aclose()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Misconfigured as error:
            self.misconfigured = error
            await self.stop()
            await send({"type": "lifespan.startup.failed", "message": error.detail})
            return
        if not gc.isenabled():  # a process that starts without it: what is there now was imported, and stays
            gc.freeze()
            gc.enable()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    # ---- everything but events ----------------------------------------------------------------------------------------------

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, sent, traceparent = perf_counter(), 0, header(scope, b"traceparent")

        async def sending(event: Event) -> None:
            nonlocal sent
            if event["type"] == "http.response.start":
                sent = event["status"]
                if traceparent is not None:
                    event = {**event, "headers": [*event.get("headers", ()), (b"traceparent", traceparent)]}
            await send(event)

        try:
            await self._answer(scope, receive, sending)
        except SwitchboardError as error:
            if not sent:
                await answer_problem(sending, error)
        except Exception:
            log.exception("a request failed", extra={"method": scope["method"], "path": scope["path"], "function": self.name})
            if sent:
                raise
            await answer_problem(sending, internal())
        finally:
            self._note(scope, sent, perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in ("/healthz", "/readyz", "/metrics") and scope["method"] in ("GET", "HEAD"):
            await self._health(path, send)
        else:
            await self._app(scope, receive, send)

    async def _health(self, path: str, send: Send) -> None:
        resources = self.resources
        if path == "/healthz":
            await answer(send, 200, b'{"status":"alive"}', (JSON, NO_STORE))
        elif resources is None:
            await answer(send, 503, b'{"status":"starting"}', (JSON, NO_STORE))
        elif path == "/metrics":
            text = metrics.exposition(resources.counters, resources.degraded())
            await answer(send, 200, text, ((b"content-type", metrics.CONTENT_TYPE),))
        else:
            status = "draining" if resources.draining else "ready" if resources.ready else "starting"
            body = json_bytes({"status": status, "degraded": resources.degraded()})
            await answer(send, 200 if resources.ready else 503, body, (JSON, NO_STORE))

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        if self.resources is not None:
            self.resources.counters.statuses[status] += 1
        if scope["path"] in ("/healthz", "/readyz", "/metrics") and status < 500:
            return
        log_request(self.name, scope, status, seconds)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = False

        async def sending(event: Event) -> None:
            nonlocal accepted
            accepted = accepted or event["type"] == "websocket.accept"
            await send(event)

        try:
            await self._app(scope, receive, sending)
        except SwitchboardError as error:
            await _refuse_websocket(scope, send, error, accepted)
        except Exception:
            log.exception("a WebSocket failed", extra={"path": scope["path"], "function": self.name})
            await _refuse_websocket(scope, send, internal(), accepted)


async def _refuse_websocket(scope: Scope, send: Send, error: SwitchboardError, accepted: bool) -> None:
    """A problem where the server can still answer the opening request (ASGI extension `websocket.http.response`), else a close."""
    if accepted:
        await send({"type": "websocket.close", "code": 1011 if error.status >= 500 else 1008, "reason": error.title})
    elif "websocket.http.response" in scope.get("extensions", {}):
        body = json_bytes(problem_document(error))
        headers = [*problem_headers(error), (b"content-length", b"%d" % len(body))]
        await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
    else:
        await send({"type": "websocket.close", "code": 1008})


def internal() -> SwitchboardError:
    """What the caller is told of a fault of ours: nothing but that."""
    return SwitchboardError("something failed here; the operator's log says what")
