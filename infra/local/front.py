"""All HTTP functions in one process, by the route table: what `switchboard up` runs. `python -m infra.local.front`.

Listens on the inherited socket of SWITCHBOARD_FRONT_FD, which several fronts may share (connections that come while one restarts wait
in its backlog), else on SWITCHBOARD_BIND and the port of the settings.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from importlib import import_module
from importlib import resources as files

from fastapi import FastAPI
from starlette.applications import Starlette

from functions.websocket.protocol import BoundedProtocol
from shared.domain.errors import NotFound, SwitchboardError
from shared.edge import openapi
from shared.edge.app import Edge, WithEvents
from shared.edge.asgi import JSON, ASGIApp, Receive, Scope, Send, answer, json_bytes
from shared.edge.framework import Beside
from shared.edge.lifespan import lifespan_of
from shared.edge.problems import NotAllowed, answer_problem
from shared.edge.server import run
from shared.resources import Resources
from shared.routes import FUNCTIONS, function_of, methods_of

OWN = {"/openapi.json": JSON, "/docs": (b"content-type", b"text/html; charset=utf-8")}


class Front:
    """The ASGI app that hands each request to the function of its route. `apps` has one by function name."""

    def __init__(self, apps: dict[str, ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the function answer."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        path, method = scope["path"], scope.get("method", "GET")
        if path in OWN and method in ("GET", "HEAD"):
            documents = await asyncio.to_thread(lambda: self._documents)  # others are answered meanwhile
            await answer(send, 200, documents[path], (OWN[path],))
            return
        name = function_of(method, path)
        if name is not None:
            await self._apps[name](scope, receive, send)
        elif allowed := methods_of(path):
            allow = (b"allow", ", ".join(allowed).encode())
            await answer_problem(send, NotAllowed(f"{method} is not for {path}"), [allow])
        else:
            raise NotFound(f"nothing is at {path}")

    @cached_property
    def _documents(self) -> dict[str, bytes]:
        """What the front answers itself. Made when it is first asked for: it is a tenth of a start, and hardly any process is asked."""
        document = openapi.merged(_described(self._apps))
        return {"/openapi.json": json_bytes(document), "/docs": openapi.page(document)}

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Start every function, and stop them in the reverse order."""
        async with AsyncExitStack() as stack:
            await receive()
            try:
                for app in self._apps.values():
                    await stack.enter_async_context(lifespan_of(app))
            except SwitchboardError as error:
                await send({"type": "lifespan.startup.failed", "message": error.detail})
                raise
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def _described(apps: dict[str, ASGIApp]) -> list[dict[str, object]]:
    """The OpenAPI documents of the functions: FastAPI's of those that have one, and those written by hand, in a function's folder."""
    written = [files.files(f"functions.{name}").joinpath("openapi.json") for name in apps]
    parts = [json.loads(document.read_text()) for document in written if document.is_file()]
    for app in apps.values():
        if isinstance(app, Starlette):
            parts += [route.app.openapi() for route in app.router.routes if isinstance(route, Beside) and isinstance(route.app, FastAPI)]
    return parts


def build(resources: Resources, functions: Sequence[str] = FUNCTIONS) -> WithEvents:
    """The functions of the route table on one process's resources: all of them, or those named, ingest among them."""
    apps: dict[str, ASGIApp] = {name: import_module(f"functions.{name}.main").build(resources) for name in functions}
    ingest = apps["ingest"]
    assert isinstance(ingest, WithEvents)
    return WithEvents(Front(apps), ingest.events, ingest.whole)


if __name__ == "__main__":
    sys.exit(run(Edge("front", build), BoundedProtocol))
