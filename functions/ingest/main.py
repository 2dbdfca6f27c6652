"""ingest as a deployable: the events path, inside functions-framework's app.

`python -m functions.ingest.main`; or `uvicorn functions.ingest.main:app`; or the stock runner, `functions-framework --target ingest`.

The framework, with Flask and starlette, takes half of a start, and events don't go through it: it is loaded for the stock runner, which
asks for `ingest`, and with the first request that is none of POST /v1/events (performance.md, P8; tests/unit/test_imports.py).
"""

import asyncio
import gc

if __name__ == "__main__":  # before the imports, and until the edge has started: garbage is looked for in vain, for a tenth of a start
    gc.disable()

import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from functions.ingest.api import Door
from functions.wiring import Submitting, WayIn, pipeline_of
from shared.domain.errors import NotFound, Unavailable
from shared.edge.app import EVENTS_PATHS, Edge, WithEvents
from shared.edge.asgi import ASGIApp, Receive, Scope, Send
from shared.edge.later import Later
from shared.edge.principals import Principals
from shared.edge.problems import answer_problem
from shared.edge.server import run
from shared.edge.vouched import Vouched
from shared.resources import Resources

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

    from functions.ingest.receiving import Receiving


async def way_in(resources: Resources) -> Submitting:
    """What the door hands messages to: the pipeline or, with K_SINK, the log and the Broker. Raises Unavailable, Misconfigured.

    The front of `switchboard up` has no Broker: there K_SINK is for the sources.
    """
    if resources.settings.sink is None or resources.settings.front_fd is not None:
        return await pipeline_of(resources)
    return await receiving_of(resources)


async def receiving_of(resources: Resources) -> "Receiving":
    """The process's way to the Broker."""
    from functions.ingest.receiving import Receiving
    from shared.stages.emit import open_emitter

    async def make() -> "tuple[Receiving, None]":
        received, emitter = await asyncio.gather(resources.received(), open_emitter(resources))
        return Receiving(received, resources.snapshots, emitter.emit), None

    return await resources.once("receiving", make)


def door_of(resources: Resources) -> Door:
    """The door on a process's resources. It opens before the pipeline is there: until then the answer is Unavailable."""
    settings, way = resources.settings, WayIn(resources, way_in)
    return Door(
        way,
        Principals(resources.snapshots, resources.cookies, basic=True, tokens=resources.tokens),
        resources.counters,
        resources.flight,
        each=way.each,
        vouched=Vouched(resources.snapshots, lambda: settings.secret_keys() if settings.secret_file else ()),
        cluster=settings.cluster,
        webhook_origins=frozenset(filter(None, settings.webhook_origins.split(","))),
    )


def __getattr__(name: str) -> Any:
    """`ingest`, the framework's function, made when it is asked for (PEP 562)."""
    if name != "ingest":
        raise AttributeError(f"module {__name__} has no {name}")
    globals()[name] = function = _framework_function()
    return function


def _framework_function() -> "Callable[[Request], Awaitable[ASGIApp]]":
    import functions_framework.aio

    from shared.edge.stock import served

    @functions_framework.aio.http  # type: ignore[arg-type]  # an ASGI app is as good as a Response
    async def ingest(request: "Request") -> ASGIApp:
        """The framework's function: the door, which answers as ASGI (starlette calls what an endpoint returns)."""
        door = await served(request.app, door_of)
        return door if request.url.path in EVENTS_PATHS else _nothing_here

    return ingest  # type: ignore[return-value]


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    await answer_problem(send, NotFound(f"nothing is at {scope['path']}"))


def build(resources: Resources) -> WithEvents:
    """The function's ASGI app on a process's resources."""
    door = door_of(resources)
    return WithEvents(Later(lambda: _framework_app(door), partial(prepare, resources)), door.post, door.whole)


async def prepare(resources: Resources) -> None:
    """Connect to log and backbones. Done before, it is done."""
    with suppress(Unavailable):  # then the first events try again
        await way_in(resources)


def _framework_app(door: Door) -> "Starlette":
    from shared.edge.framework import framework_app

    app = framework_app("ingest", __name__)
    app.state.served = door
    return app


app = Edge("ingest", build, prepare=prepare)

if __name__ == "__main__":
    sys.exit(run(app))
