"""route as a deployable: events `switchboard.message.accepted` in, deliveries out, for doors with SWITCHBOARD_ROUTE_URL.

`python -m functions.route.main`; or `uvicorn functions.route.main:app`; or the stock runner, `functions-framework --target route`.
It publishes what an event names, under its proof, and never resolves.
"""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request

from functions.route.publisher import Publisher
from shared.domain.errors import Unavailable
from shared.edge.app import Edge, WithEvents
from shared.edge.asgi import ASGIApp
from shared.edge.framework import framework_app
from shared.edge.server import run
from shared.edge.stock import served
from shared.resources import Resources
from shared.stages.events import ACCEPTED
from shared.stages.hop import Asked, Hop, Replied


async def publisher_of(resources: Resources) -> Publisher:
    """The process's publisher. Raises Unavailable."""

    async def make() -> tuple[Publisher, None]:
        return Publisher(await resources.backbones()), None

    return await resources.once("publisher", make)


def stage(resources: Resources) -> Hop:
    """The stage on a process's resources. Raises Misconfigured where there is no secret to prove with."""

    async def publish(asked: Sequence[Asked]) -> list[Replied]:
        return await (await publisher_of(resources))(asked)

    return Hop("route", ACCEPTED, publish, resources)


@functions_framework.aio.http  # type: ignore[arg-type]  # an ASGI app is as good as a Response
async def route(request: Request) -> ASGIApp:
    """The framework's function: the stage, which answers as ASGI."""
    return await served(request.app, stage)


def build(resources: Resources) -> WithEvents:
    """The function's ASGI app on a process's resources. Raises Misconfigured."""
    resources.settings.required("nats_url")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with suppress(Unavailable):  # then the first events try again
            await publisher_of(resources)
        yield

    app = framework_app("route", __name__)
    app.state.served = hop = stage(resources)
    app.router.lifespan_context = lifespan
    return WithEvents(app, hop.post)


app = Edge("route", build)

if __name__ == "__main__":
    sys.exit(run(app))
