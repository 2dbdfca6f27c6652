"""The reconciler's connections to backbones, and the streams there, made and changed as config says it (contracts.md, "On the backbone").

Publishers make a missing stream of the home backbone themselves. On a backbone of the registry they do as well, but what it is like is
said here alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.endpoint import endpoints_of
from shared.adapters.nats.leaves import source_of
from shared.adapters.nats.link import Link
from shared.adapters.nats.replies import Lost
from shared.adapters.nats.sourcing import Sourcing
from shared.adapters.nats.streams import NAME_TAKEN, NOT_FOUND, StreamAnswer, ask_stream
from shared.domain.registry.login import NO_LOGIN, Login
from shared.domain.registry.reach import Reach
from shared.domain.registry.streams import DUPLICATE_WINDOW_S, Source, WantedStream
from shared.ports.deploying import Seen

FIRST_CONNECTION = 3.0  # seconds that a new connection is given before it is said that there is none
ANSWER_WITHIN = 5.0  # seconds for one step
AT_ONCE = 16  # streams asked for at once
AGAIN_S = 30.0  # how old the last look at streams may be that nobody wants otherwise: somebody may have changed them
SECOND = 1_000_000_000  # in nanoseconds, the server's unit
STAYS = ("storage", "retention")  # of a stream, from when it is made

Json = dict[str, Any]
Sourced = Callable[[str, Sequence[Source]], Awaitable[Json]]


class NatsBackboneStreams:
    """BackboneStreams on NATS. `credentials` has a file for each backbone that needs some, by id.

    What a leaf's stream takes from its hubs is looked at each time (sourcing.py): they may have lost messages.
    """

    def __init__(self, credentials: Path | None, name: str = "reconcile-backbones") -> None:
        self._credentials = credentials
        self._name = name
        self._links: dict[str, Link] = {}
        self._sourcing = Sourcing()
        self._settled: dict[str, tuple[Sequence[WantedStream], Connection, float]] = {}  # what was wanted and found on a connection, and
        # until when (loop time) that will do

    @property
    def uncompared(self) -> int:
        """How many streams of leaves may lack what a hub lost and was given again: they aren't compared with it, which gives too much."""
        return self._sourcing.given_up

    async def stop(self) -> None:
        """Disconnect from all."""
        await asyncio.gather(*map(self.let_go, list(self._links)))

    async def let_go(self, id: str) -> None:
        self._settled.pop(id, None)
        await self._sourcing.forget(id)
        link = self._links.pop(id, None)
        if link is not None:
            await link.stop()

    async def ensure(self, reach: Reach, wanted: Sequence[WantedStream], login: Login = NO_LOGIN) -> Seen:
        self._sourcing.keep(reach.id, wanted)
        link = await self._link(reach, login)
        if not link.live:
            link.connected.clear()
            try:
                async with asyncio.timeout(FIRST_CONNECTION):
                    await link.connected.wait()
            except TimeoutError:
                return Seen(refused=link.refused or "no server answers at its endpoint")
        connection = link.connection
        if connection is None:
            return Seen(refused="the connection has just ended")
        now = asyncio.get_running_loop().time()
        known = self._settled.get(reach.id)
        if known is not None and known[:2] == (wanted, connection) and now < known[2]:
            return Seen()
        try:
            problems = await _ensure_all(connection, wanted, partial(self._sourcing.sourced, self._sourcing.look(connection, reach)))
        except Lost as lost:
            return Seen(refused=str(lost))
        if not problems and not self._sourcing.is_behind(reach.id):
            self._settled[reach.id] = wanted, connection, min(now + AGAIN_S, self._sourcing.asks_again_at(reach.id))
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        return Seen(streams="; ".join(problems[:3]) + more)

    async def _link(self, reach: Reach, login: Login) -> Link:
        endpoint = endpoints_of([reach], self._credentials, lambda one: login.file() if login.token else "")[reach.id]
        link = self._links.get(reach.id)
        if link is not None and link.endpoint != endpoint:
            await self.let_go(reach.id)
            link = None
        if link is None:
            link = self._links[reach.id] = Link(reach.id, endpoint.url, self._name, endpoint)
            link.start()
        return link


async def _ensure_all(connection: Connection, wanted: Sequence[WantedStream], sourced: Sourced) -> list[str]:
    """What can't be made as it is wanted, and why. Raises Lost where there is no answer."""
    problems: list[str] = []
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        found = await asyncio.gather(*(_ensure_one(connection, one, sourced) for one in some), return_exceptions=True)
        for one, problem in zip(some, found, strict=True):
            if isinstance(problem, BaseException):
                raise problem
            if problem:
                problems.append(f"{one.name}: {problem}")
    return problems


async def _ensure_one(connection: Connection, wanted: WantedStream, sourced: Sourced) -> str:
    """Empty, or why the stream isn't as it is wanted."""
    ours = config_of(wanted)
    if wanted.sources:
        ours |= await sourced(wanted.name, wanted.sources)
    deadline = asyncio.get_running_loop().time() + ANSWER_WITHIN
    answer = await ask_stream(connection, f"STREAM.INFO.{wanted.name}", {}, deadline)
    if _code(answer) == NOT_FOUND:
        answer = await ask_stream(connection, f"STREAM.CREATE.{wanted.name}", ours, deadline)
        if _code(answer) == NAME_TAKEN:  # by another of us, meanwhile
            answer = await ask_stream(connection, f"STREAM.INFO.{wanted.name}", {}, deadline)
    if answer.error is None and not has(answer.config, ours):
        fixed = [name for name in STAYS if answer.config.get(name) != ours[name]]
        if fixed:
            said = ", ".join(f"{name} {answer.config.get(name)}" for name in fixed)
            return f"it has {said}, which can't be changed: remove the stream, and it is made anew"
        answer = await ask_stream(connection, f"STREAM.UPDATE.{wanted.name}", answer.config | ours, deadline)
    return "" if answer.error is None else answer.error.description


def _code(answer: StreamAnswer) -> int:
    return 0 if answer.error is None else answer.error.err_code


def config_of(wanted: WantedStream) -> Json:
    """What we set of the stream's configuration, in the server's own names and units. The rest is the operator's."""
    config: Json = {
        "name": wanted.name,
        "retention": "limits",
        "storage": wanted.storage,
        "num_replicas": wanted.replicas,
        "discard": "old",
        "max_age": wanted.max_age_s * SECOND,
        "max_bytes": wanted.max_bytes,
        "duplicate_window": min(DUPLICATE_WINDOW_S, wanted.max_age_s) * SECOND,
        "allow_direct": True,
    }
    if wanted.sources:
        return config | {"sources": list(map(source_of, wanted.sources))}
    return config | {"subjects": list(wanted.subjects), "allow_atomic": True}


def has(found: object, wanted: object) -> bool:
    """Whether what the server has is as it is wanted: it says more than it was told, defaults among it."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(has(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(has, found, wanted))
    return found == wanted or (wanted in ("", False) and found is None)
