"""A door's pipeline by its process's settings: on the process's own adapters, each stage a direct call or a call to its Service."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from functions.door import Submit
from functions.pipeline import Check, Pipeline
from shared.bodies import Bodies
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.rules.limits import Limits
from shared.domain.verdict import Outcome
from shared.ports import Backbones
from shared.resources import Resources


async def pipeline_of(resources: Resources) -> Pipeline:
    """The process's pipeline; a stage is a direct call unless its URL is set. Raises Unavailable, Misconfigured."""
    settings = resources.settings

    async def make() -> tuple[Pipeline, None]:
        backbones = resources.backbones() if settings.route_url is None else remote_route(resources)
        log, publishing = await asyncio.gather(resources.log(), backbones)
        check: Limits | Check = await resources.limits() if settings.check_url is None else await remote_check(resources)
        return Pipeline.wired(log, publishing, resources.snapshots, Bodies(resources.known), check), None

    return await resources.once("pipeline", make)


# The calls to Services are imported where they are wanted: an HTTP client takes a while, and inline nobody needs one.


async def remote_check(resources: Resources) -> Check:
    from shared.stages.check import open_check

    return await open_check(resources)


async def remote_route(resources: Resources) -> Backbones:
    from shared.stages.route import open_route

    return await open_route(resources)


async def piped(resources: Resources) -> Submit:
    """The process's pipeline. Raises Unavailable, Misconfigured."""
    return (await pipeline_of(resources)).submit


def submit_of(resources: Resources, open_way: Callable[[Resources], Awaitable[Submit]] = piped) -> Submit:
    """The process's way in, as a door calls it. The door opens before that is there: until then it raises Unavailable."""
    way: Submit | None = None

    async def first(messages: Sequence[Message], principal: Principal) -> Sequence[Outcome]:
        nonlocal way
        way = await open_way(resources)
        return await way(messages, principal)

    def submit(messages: Sequence[Message], principal: Principal) -> Awaitable[Sequence[Outcome]]:
        return first(messages, principal) if way is None else way(messages, principal)

    return submit  # type: ignore[return-value]  # an awaitable of ours is a coroutine
