"""A door's pipeline by its process's settings: on the process's own adapters, each stage a direct call or a call to its Service."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from functions.door import Each, OneByOne, Tell
from functions.pipeline import Check, Pipeline
from functions.singles import Singles
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


class Submitting(Protocol):
    """The pipeline, or what is in its place."""

    async def submit(self, messages: Sequence[Message], principal: Principal) -> Sequence[Outcome]: ...


class WayIn:
    """The process's way in, as a door calls it. The door opens before that is there: until then submitting raises Unavailable."""

    def __init__(self, resources: Resources, open_way: Callable[[Resources], Awaitable[Submitting]] = pipeline_of) -> None:
        self._resources, self._open = resources, open_way
        self._way: Submitting | None = None
        self._one_by_one = OneByOne(self)  # kept, and with it what came before the way was there
        self._each: Each = self._one_by_one

    def __call__(self, messages: Sequence[Message], principal: Principal) -> Awaitable[Sequence[Outcome]]:
        return self._first(messages, principal) if self._way is None else self._way.submit(messages, principal)

    def each(self, messages: Sequence[Message], principal: Principal, tell: Tell) -> None:
        """See Each."""
        self._each(messages, principal, tell)

    async def _first(self, messages: Sequence[Message], principal: Principal) -> Sequence[Outcome]:
        way = self._way = await self._open(self._resources)
        if isinstance(way, Pipeline) and self._each is self._one_by_one:
            self._each = Singles(way)
        return await way.submit(messages, principal)
