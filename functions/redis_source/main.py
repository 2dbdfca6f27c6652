"""The Redis door's pod: submit lists -> pipeline, or -> K_SINK, with health and metrics on a port of its own.

`python -m functions.redis_source.main`. Several may run: elements go to whoever takes them, and a dead one's are taken over.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette

from functions.redis_source.source import Source
from functions.wiring import WayIn, pipeline_of
from shared.adapters.redis.door_settings import check_door
from shared.adapters.redis.submit_lists import RedisSubmitLists
from shared.domain.errors import Misconfigured, Unavailable
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.edge.server import run
from shared.opened import Closing
from shared.pause import set_within
from shared.resources import Resources
from shared.settings import Settings
from shared.sources.outcomes import Way, inline
from shared.sources.sink import Sink, open_sink

log = logging.getLogger(__name__)

FIRST_SNAPSHOT_S = 0.1  # between two looks for it
LOOK_AGAIN_S = 1.0  # between two looks at a door's Redis that wasn't there at the start


class Pod:
    """What runs beside the HTTP server."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._sink: Sink | None = None

    async def start(self) -> None:
        """Begin; servers that aren't there yet are waited for. Raises Misconfigured, for a door's Redis that would lose events, too."""
        try:
            await self._check_door()
        except Unavailable:
            self._looking = asyncio.create_task(self._check_late(), name="redis-door-settings")
            self._looking.add_done_callback(self._ended)
        self._task = asyncio.create_task(self._run(await self._way()), name="redis-door")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Finish what is in flight and put the rest back. Raises what the door died of."""
        self._stop.set()
        if self._sink is not None:
            self._sink.finish()
        for task in (self._task, self._looking):
            if task is not None:
                await task

    async def _check_door(self) -> None:
        """Look at a Redis that isn't the log's: that one is looked at by the log. Raises Misconfigured, Unavailable."""
        settings = self._resources.settings
        if settings.redis_door_url is None and settings.sink is None:
            return
        if (said := await check_door(_door_url(settings))) is not None:
            log.warning(said)

    async def _check_late(self) -> None:
        """The same, once it is there. One that would lose events ends the process, which is then refused at its next start."""
        while not await set_within(self._stop, LOOK_AGAIN_S):
            try:
                await self._check_door()
            except Unavailable:
                continue
            except Misconfigured as error:
                log.critical("misconfigured: %s", error.detail)
                signal.raise_signal(signal.SIGTERM)
            return

    async def _way(self) -> Way:
        resources = self._resources
        if resources.settings.sink is not None:
            self._sink = await open_sink(resources)
            return self._sink
        with suppress(Unavailable):  # then the first events try again
            await pipeline_of(resources)
        return inline(WayIn(resources), resources.counters)

    async def _run(self, way: Way) -> None:
        lists = await self._resources.once("redis-door", self._open)
        while not self._resources.snapshots.ready and not self._stop.is_set():
            await set_within(self._stop, FIRST_SNAPSHOT_S)
        if self._stop.is_set():
            return
        source = Source(lists, way, lambda: self._resources.snapshots.current)
        self._measure(source, lists)
        await source.run(self._stop)

    async def _open(self) -> tuple[RedisSubmitLists, Closing]:
        settings = self._resources.settings
        lists = RedisSubmitLists(_door_url(settings), limit_bytes=settings.redis_door_bytes)
        return lists, lists.close

    def _measure(self, source: Source, lists: RedisSubmitLists) -> None:
        gauges, counts = self._resources.counters.gauges, source.counts
        gauges["redis_door_taken"] = lambda: float(counts.taken)
        gauges["redis_door_rejected"] = lambda: float(counts.rejected)
        gauges["redis_door_shed"] = lambda: float(counts.shed)
        gauges["redis_door_waits"] = lambda: float(counts.waits)
        gauges["redis_door_receipts_dropped"] = lambda: float(lists.dropped)
        gauges["redis_door_busy_orgs"] = lambda: float(len(source.busy))
        gauges["redis_door_orgs"] = lambda: float(len(self._resources.snapshots.current.orgs))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A pod whose door is dead would look alive: it ends, and is started again."""
        if not self._stop.is_set() and not task.cancelled() and not (task is self._looking and task.exception() is None):
            log.critical("the door died, and the process with it", exc_info=task.exception())
            signal.raise_signal(signal.SIGTERM)


def _door_url(settings: Settings) -> str:
    return settings.redis_door_url or settings.required("redis_url")


def build(resources: Resources) -> ASGIApp:
    """The pod's ASGI app on a process's resources: no routes but the edge's own. Raises Misconfigured."""
    settings = resources.settings
    if settings.sink is None:
        settings.required("redis_url")
    if settings.hub_url is None:
        settings.required("database_url")
    if settings.redis_door_url is None and settings.redis_url is None:
        raise Misconfigured("SWITCHBOARD_REDIS_DOOR_URL is not set, nor SWITCHBOARD_REDIS_URL: where are the submit lists?")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        pod = Pod(resources)
        await pod.start()
        try:
            yield
        finally:
            await pod.stop()

    return Starlette(lifespan=lifespan)


app = Edge("redis_source", build)


if __name__ == "__main__":
    sys.exit(run(app))
