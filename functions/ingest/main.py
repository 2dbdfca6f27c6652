"""ingest as a deployable: the events path, inside functions-framework's app.

`python -m functions.ingest.main`; or `uvicorn functions.ingest.main:app`; or the stock runner, `functions-framework --target ingest`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request

from functions.ingest.api import Door
from functions.pipeline import Pipeline
from shared.domain.errors import NotFound, Unavailable
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.verdict import Outcome
from shared.edge.app import EVENTS_PATHS, Edge, WithEvents
from shared.edge.asgi import ASGIApp, Receive, Scope, Send
from shared.edge.framework import framework_app
from shared.edge.principals import Principals
from shared.edge.problems import answer_problem
from shared.edge.server import run
from shared.resources import Resources
from shared.settings import Settings

_starting = asyncio.Lock()


async def pipeline_of(resources: Resources) -> Pipeline:
    """The process's pipeline, every stage a direct call. Raises Unavailable."""

    async def make() -> tuple[Pipeline, None]:
        log, backbones = await asyncio.gather(resources.log(), resources.backbones())
        return Pipeline.inline(log, backbones, resources.snapshots, Bodies(resources)), None

    return await resources.once("pipeline", make)


class Bodies:
    """The store's bodies, opened when the first is needed: messages are taken while the store is away."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]:
        """See MessageStore.bodies."""
        return await (await self._resources.store()).bodies(wanted)


def door_of(resources: Resources) -> Door:
    """The door on a process's resources. It opens before the pipeline is there: until then the answer is Unavailable."""
    pipeline: Pipeline | None = None

    async def first(messages: Sequence[Message], principal: Principal) -> list[Outcome]:
        nonlocal pipeline
        pipeline = await pipeline_of(resources)
        return await pipeline.submit(messages, principal)

    def submit(messages: Sequence[Message], principal: Principal) -> Coroutine[Any, Any, list[Outcome]]:
        return first(messages, principal) if pipeline is None else pipeline.submit(messages, principal)

    settings = resources.settings
    return Door(
        submit,
        Principals(resources.snapshots, resources.cookies),
        resources.counters,
        resources.flight,
        cluster=settings.cluster,
        webhook_origins=frozenset(filter(None, settings.webhook_origins.split(","))),
    )


@functions_framework.aio.http  # type: ignore[arg-type]  # an ASGI app is as good as a Response
async def ingest(request: Request) -> ASGIApp:
    """The framework's function: the door, which answers as ASGI (starlette calls what an endpoint returns)."""
    async with _starting:
        if not hasattr(request.app.state, "door"):  # the stock runner made the app, and knows nothing of resources
            resources = Resources(Settings.from_env())
            await resources.start()
            request.app.state.door = door_of(resources)
    return request.app.state.door if request.url.path in EVENTS_PATHS else _nothing_here


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    await answer_problem(send, NotFound(f"nothing is at {scope['path']}"))


def build(resources: Resources) -> WithEvents:
    """The function's ASGI app on a process's resources."""
    door = door_of(resources)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with suppress(Unavailable):  # then the first events try again
            await pipeline_of(resources)
        yield

    app = framework_app("ingest", __name__)
    app.state.door = door
    app.router.lifespan_context = lifespan
    return WithEvents(app, door.post, door.whole)


app = Edge("ingest", build)

if __name__ == "__main__":
    sys.exit(run(app))
