"""The NATS door as a pod: every org's submit stream and requests on the home backbone's server, with health and metrics on its own port.

`python -m functions.nats_source.main`. Several may run: a message goes to one of them, and comes to another when that one dies.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette

from functions.nats_source.orgs import Org, Orgs
from functions.nats_source.ways import Ways, through
from functions.wiring import WayIn, pipeline_of
from shared.adapters.nats.connection import RETRY_EVERY, UNREACHABLE, Connection
from shared.domain.errors import Unavailable
from shared.domain.stored import FirstCopy
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.edge.principals import Principals
from shared.edge.server import run
from shared.resources import Resources
from shared.sources.outcomes import Way, inline
from shared.sources.sink import Sink, open_sink, overrides_of, url_of

FOLLOW_EVERY = 0.5  # seconds between two looks at which orgs there are
LOOK_EVERY = 5.0  # seconds between two looks at each org's lag
NAME = "switchboard nats-source"

log = logging.getLogger(__name__)


class Source:
    """What runs beside the HTTP server."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._principals = Principals(resources.snapshots, tokens=resources.tokens)
        self._orgs: Orgs | None = None
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connected = False
        self._sink: Sink | None = None
        self._rejected = self._unanswerable = 0  # of orgs no longer served
        gauges = resources.counters.gauges
        gauges["nats_source_orgs"] = lambda: float(0 if self._orgs is None else len(self._orgs.served))
        gauges["nats_source_lag"] = lambda: float(sum(one.lag for one in self._served))
        gauges["nats_source_in_hand"] = lambda: float(sum(one.intake.in_hand for one in self._served))
        gauges["nats_source_rejected"] = lambda: float(self._rejected + sum(one.rejected for one in self._served))
        gauges["nats_source_unanswerable"] = lambda: float(self._unanswerable + sum(map(_unanswerable, self._served)))

    @property
    def _served(self) -> list[Org]:
        return [] if self._orgs is None else self._orgs.all

    def start(self) -> None:
        """Begin; a server that isn't there yet is waited for."""
        self._task = asyncio.create_task(self._run(), name="nats-source")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Finish what is in hand, and give the rest back. Raises what the task died of."""
        self._stop.set()
        if self._sink is not None:
            self._sink.finish()
        if self._task is not None:
            await self._task

    def reachable(self) -> bool:
        """Whether there are connections now."""
        return self._connected

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A door that is dead would look alive: the process ends, and is started again."""
        if not self._stop.is_set() and not task.cancelled() and (error := task.exception()) is not None:
            log.critical("%s died, and the process with it", task.get_name(), exc_info=error)
            signal.raise_signal(signal.SIGTERM)

    async def _run(self) -> None:
        if self._resources.settings.sink is not None:
            self._sink = await open_sink(self._resources)
        else:
            with suppress(Unavailable):  # then the first messages try again
                await pipeline_of(self._resources)
        while not self._stop.is_set():
            pulling, asking = Connection(), Connection()
            try:
                if await self._open(pulling, asking):
                    await self._serve(pulling, asking)
            except UNREACHABLE as error:
                log.warning("the NATS server refuses the connection: %s", error)
                await asyncio.sleep(RETRY_EVERY)
            finally:
                self._connected = False
                await asyncio.gather(pulling.close(), asking.close())

    async def _open(self, *connections: Connection) -> bool:
        """Whether all are connected: as long as it takes, unless we are to stop."""
        servers = self._resources.settings.required("nats_url").split(",")
        opening = asyncio.ensure_future(_open_all(connections, servers))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                return False
            await opening
            return True
        finally:
            stopping.cancel()
            opening.cancel()
            await asyncio.gather(opening, stopping, return_exceptions=True)

    async def _serve(self, pulling: Connection, asking: Connection) -> None:
        """Serve every org there is, until a connection ends or we are to stop."""
        orgs = self._orgs = Orgs(lambda org: Org(org, pulling, asking, self._ways(org), self._resources.flight), self._note)
        self._connected = True
        loop, looked = asyncio.get_running_loop(), 0.0
        ends = [asyncio.create_task(event.wait()) for event in (self._stop, pulling.ended, asking.ended)]
        try:
            while not any(end.done() for end in ends):
                if self._resources.snapshots.ready:
                    await orgs.follow(self._resources.snapshots.current.orgs)
                if loop.time() - looked > LOOK_EVERY:
                    looked = loop.time()
                    await orgs.look_after()
                await asyncio.wait(ends, timeout=FOLLOW_EVERY, return_when=asyncio.FIRST_COMPLETED)
            if not self._stop.is_set():
                log.warning("the connection to the NATS server ended: %s", pulling.gone or asking.gone)
        finally:
            for end in ends:
                end.cancel()
            await orgs.close()
            self._orgs = None

    def _note(self, gone: Org) -> None:
        """What an org has counted stays counted."""
        self._rejected += gone.rejected
        self._unanswerable += _unanswerable(gone)

    def _ways(self, org: str) -> Ways:
        sink, resources, counters = self._sink, self._resources, self._resources.counters
        store = Store(resources) if sink is None else None
        submit = WayIn(resources) if sink is None else through(sink)
        way: Way = inline(submit, counters) if sink is None else sink
        return Ways(org, lambda: resources.snapshots.current, self._principals.of, way, submit, store, counters.count)


async def _open_all(connections: Sequence[Connection], servers: Sequence[str]) -> None:
    await asyncio.gather(*(connection.open(servers, NAME) for connection in connections))


def _unanswerable(one: Org) -> int:
    return one.requests.unanswerable + one.ways.unanswerable


class Store:
    """The message store, or an edge's hub, as it is asked about messages that are delivered again; reached when there are some."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def accepted(self, org: str, wanted: Sequence[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], FirstCopy]:
        """See FirstCopies.accepted."""
        return await (await self._resources.first_copies()).accepted(org, wanted)


def build(resources: Resources) -> ASGIApp:
    """The pod's ASGI app on a process's resources: no routes but the edge's own. Raises Misconfigured."""
    settings = resources.settings
    for field in ("nats_url", *(("redis_url",) if settings.sink is None else ())):
        settings.required(field)
    if settings.hub_url is None:
        settings.required("database_url")
    if settings.sink is not None:
        settings.secret_keys()
        url_of(settings.sink)
        overrides_of(settings.ce_overrides)
    source = Source(resources)

    async def make() -> tuple[Source, None]:
        return source, None

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await resources.once("nats", make)
        source.start()
        try:
            yield
        finally:
            await source.stop()

    return Starlette(lifespan=lifespan)


app = Edge("nats-source", build)


if __name__ == "__main__":
    sys.exit(run(app))
