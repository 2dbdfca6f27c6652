"""route as a deployable: events `switchboard.message.accepted` in, deliveries out, for doors with SWITCHBOARD_ROUTE_URL and, by way
of a Broker's Trigger, for doors with K_SINK.

`python -m functions.route.main`; or `uvicorn functions.route.main:app`; or the stock runner, `functions-framework --target route`.
It publishes what an event names, under its proof, and never resolves.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import functions_framework.aio
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request

from functions.route.handler import Route, first_retry
from functions.route.logged import Logged
from functions.route.publisher import Publisher
from shared.domain.errors import Malformed, Unavailable
from shared.domain.verdict import Delivery
from shared.edge.app import Edge, WithEvents
from shared.edge.asgi import ASGIApp
from shared.edge.framework import framework_app
from shared.edge.server import run
from shared.edge.stock import served
from shared.resources import Resources
from shared.stages.events import ACCEPTED, DELIVERED, UNDELIVERABLE, Made, Said
from shared.stages.hop import Asked, Hop, Replied


async def publisher_of(resources: Resources) -> Publisher:
    """The process's publisher. Raises Unavailable."""

    async def make() -> tuple[Publisher, None]:
        return Publisher(await resources.backbones()), None

    return await resources.once("publisher", make)


async def logged_of(resources: Resources) -> Logged:
    """The process's way to publish what the log has as accepted. Raises Unavailable, Misconfigured."""

    async def make() -> tuple[Logged, None]:
        log, backbones = await asyncio.gather(resources.log(), resources.backbones())
        return Logged(log, Route(backbones, log, partial(first_retry, resources.snapshots))), None

    return await resources.once("logged", make)


def stage(resources: Resources) -> Hop:
    """The stage on a process's resources. Raises Misconfigured where there is no secret to prove with."""

    async def publish(asked: Sequence[Asked]) -> Sequence[Replied | None]:
        brokered = {said.brokered for _, said in asked}
        if brokered == {True}:
            made = await (await logged_of(resources))([message for message, _ in asked])
            return [_replied(said, deliveries) for (_, said), deliveries in zip(asked, made, strict=True)]
        if len(brokered) > 1:
            raise Malformed("a batch is a door's or a broker's, and not both")
        return await (await publisher_of(resources))(asked)

    return Hop("route", ACCEPTED, publish, resources)


def _replied(said: Said, deliveries: Sequence[Delivery] | None) -> Replied | None:
    """None for what the relay delivers, or has delivered: the log says what became of it."""
    if deliveries is None or any(delivery.status == "pending" for delivery in deliveries):
        return None
    made = tuple(
        Made(delivery.backbone, delivery.stream or "", sequence=delivery.sequence or 0, refused=delivery.error) for delivery in deliveries
    )
    return DELIVERED if all(delivery.sequence for delivery in made) else UNDELIVERABLE, msgspec.structs.replace(said, deliveries=made)


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
