"""The logger pod: one logger a shard, and its relays, one a backbone; with health and metrics on a port of its own.

`python -m functions.logger.main`. Several may run: flushes go to whoever takes them, and one of them has each relay's lease.
"""

import asyncio
import logging
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from functions.logger.batches import Most
from functions.logger.handler import Logger
from functions.logger.latecomers import Latecomers
from functions.logger.outcome import Schedule, schedule_of
from functions.logger.relay import Relay
from functions.logger.relays import Gone, Relays
from functions.logger.retention import Sweeper
from functions.logger.watching import Watching
from functions.pipeline import Judge, Lanes, lanes, write_rows
from shared.adapters.redis.keys import shard_of
from shared.adapters.redis.links import Links
from shared.adapters.redis.log_reader import RedisLogReader
from shared.adapters.redis.relay_log import RedisRelayLog
from shared.adapters.redis.relay_watch import RedisRelayWatch
from shared.adapters.redis.waited_for import waited_for
from shared.domain.errors import Unavailable
from shared.domain.logged import Entry, Taken
from shared.domain.message import Message
from shared.domain.repairing import Recorded
from shared.domain.retention import Retention
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.edge.server import run
from shared.ports import Streams
from shared.receipts import Persistent, Places
from shared.resources import Resources
from shared.settings import Settings
from shared.stages.log_batch import open_rows

RETRY_S = 0.5  # between two tries to reach what the relay can't do without

GONE = Gone()
NO_MORE = Schedule(attempts=1)

log = logging.getLogger(__name__)


class Pod:
    """What runs beside the HTTP server."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._worker = secrets.token_hex(8)
        self._stop = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []
        self._loggers: list[Logger] = []
        self._relays: list[Relay] = []
        self._latecomers: Latecomers | None = None
        self._sweeper = Sweeper(self._retention, self._expire, lambda: time.time_ns() // 1000)
        gauges = resources.counters.gauges
        gauges["received_judged_late"] = lambda: float(self._latecomers.judged if self._latecomers else 0)
        gauges["retention_removed"] = lambda: float(self._sweeper.removed)
        gauges["logger_flushes_written"] = lambda: float(sum(logger.written for logger in self._loggers))
        gauges["logger_failures"] = lambda: float(sum(logger.failures for logger in self._loggers))
        gauges["logger_waits"] = lambda: float(any(logger.behind for logger in self._loggers))
        gauges["relay_delivered"] = lambda: float(sum(relay.delivered for relay in self._relays))
        gauges["relay_repaired"] = lambda: float(sum(relay.repaired for relay in self._relays))
        gauges["relay_held"] = lambda: float(sum(relay.leased and relay.state not in ("", "open") for relay in self._relays))
        gauges["relay_stuck"] = lambda: float(sum(relay.stuck for relay in self._relays if relay.leased))
        gauges["relay_leases"] = lambda: float(sum(relay.leased for relay in self._relays))

    def start(self) -> None:
        """Begin; servers that aren't there yet are waited for."""
        for shard in range(self._resources.settings.log_shards):
            self._go(self._log(shard), f"logger-{shard}")
            self._go(self._relay(shard), f"relay-{shard}")
        self._go(self._judge_late(), "latecomers")
        if not hands_over(self._resources.settings):  # else the store is theirs who write to it
            self._go(self._sweeper.run(self._stop), "retention")

    async def stop(self) -> None:
        """Finish what is in flight and give the rest back. Raises what a task died of."""
        self._stop.set()
        await asyncio.gather(*self._running)

    def _go(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._running.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A pod that is half dead would look alive: one that lost a task ends, and is started again."""
        if not self._stop.is_set() and not task.cancelled() and (error := task.exception()) is not None:
            log.critical("%s died, and the process with it", task.get_name(), exc_info=error)
            signal.raise_signal(signal.SIGTERM)

    async def _log(self, shard: int) -> None:
        settings = self._resources.settings
        reader = RedisLogReader(settings.required("redis_url"), shard, limit_bytes=settings.log_bytes, worker=self._worker)
        logger = Logger(shard, reader, self._write, self._most)
        self._loggers.append(logger)
        try:
            await logger.run(self._stop)
        finally:
            await reader.close()

    def _most(self) -> Most | None:
        """What config bounds a batch by; None where it bounds nothing, or isn't known yet."""
        snapshots = self._resources.snapshots
        return snapshots.current.rules.batched if snapshots.ready and snapshots.current.rules.buffered else None

    def _retention(self) -> Retention:
        return self._resources.snapshots.current.rules.retention

    async def _expire(self, retention: Retention, now: int, limit: int) -> int:
        return await (await self._resources.store()).expire(retention, now, limit)

    def _schedule(self, message: Message) -> Schedule:
        return schedule_of(self._resources.snapshots.current.rules.delivering(message))

    async def _write(self, shard: int, taken: Sequence[Taken]) -> None:
        if hands_over(self._resources.settings):
            await (await open_rows(self._resources)).write(shard, taken)
        else:
            await write_rows(shard, taken, await self._resources.store())

    async def _judge_late(self) -> None:
        """What ingest logged as received, and no verdict came for (brokered wiring)."""
        resources = self._resources
        received = await resources.received()
        receipts = Persistent(Places(resources))
        resources.counters.gauges["receipts_lost"] = lambda: float(receipts.lost)
        judge = Judge(received, Store(resources), resources.snapshots, resources.limits, receipts)
        self._latecomers = Latecomers(received, judge, self._publish)
        await self._latecomers.run(self._stop)

    async def _publish(self, entries: list[Entry]) -> None:
        """The route stage, in order: its lanes note in the log what became of each."""
        resources = self._resources

        async def make() -> tuple[Lanes, None]:
            log, backbones = await asyncio.gather(resources.log(), resources.backbones())
            return lanes(log, backbones, resources.snapshots), None

        await (await resources.once("lanes", make)).handle(entries).deliveries()

    async def _relay(self, shard: int) -> None:
        while not self._stop.is_set():
            try:
                backbones = await self._resources.backbones()
                _ = self._resources.snapshots.current
                break
            except Unavailable:
                await asyncio.sleep(RETRY_S)
        else:
            return

        redis_url = self._resources.settings.required("redis_url")
        watch, links = RedisRelayWatch(redis_url, shard, self._worker), Links(redis_url)
        watching = Watching(watch)

        async def run(backbone: str, gone: bool, stop: asyncio.Event) -> None:
            relay = self._relay_of(shard, backbone, links, GONE if gone else backbones, NO_MORE if gone else None)
            self._relays.append(relay)
            try:
                await watching.keep(relay, stop)
            finally:
                self._relays.remove(relay)

        looking = asyncio.create_task(watching.run(), name=f"relay-watch-{shard}")
        try:
            await Relays(self._known, lambda: waited_for(redis_url, shard), run).run(self._stop)
        finally:
            watching.stop()
            await looking
            await watch.close()
            await links.close()

    def _known(self) -> tuple[set[str], bool]:
        """The backbones there are, those that are to go included, and whether there can't be others by now."""
        snapshots = self._resources.snapshots
        current = snapshots.current
        return {current.home, *(one.id for one in current.backbones)}, not snapshots.lost

    def _relay_of(self, shard: int, backbone: str, links: Links, backbones: Streams, schedule: Schedule | None) -> Relay:
        settings = self._resources.settings
        url, limit = settings.required("redis_url"), settings.log_bytes
        return Relay(
            RedisRelayLog(url, shard, backbone, limit_bytes=limit, worker=self._worker, links=links),
            backbone,
            backbones,
            Store(self._resources),
            schedule,
            self._schedule if schedule is None else None,
            lambda message: shard_of(message.org, message.source, settings.log_shards) == shard,
        )


class Store:
    """The message store, or the hub, as the relay asks it, reached when it is needed: with bodies that are in the log it can do without."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]:
        """See Known.bodies."""
        return await (await self._resources.known()).bodies(wanted)

    async def delivered(self, backbone: str, wanted: Sequence[tuple[bytes, bytes]]) -> set[tuple[bytes, bytes]]:
        """See Known.delivered."""
        return await (await self._resources.known()).delivered(backbone, wanted)

    async def recorded(
        self, backbone: str, org: str, since: int, after: Recorded | None, limit: int, *, every: bool = False
    ) -> list[Recorded]:
        """See Known.recorded."""
        return await (await self._resources.known()).recorded(backbone, org, since, after, limit, every=every)


def hands_over(settings: Settings) -> bool:
    """Whether batches go to a log-batch Service, this cluster's or the hub's, and not straight into the store."""
    return settings.log_batch_url is not None or settings.hub_url is not None


def build(resources: Resources) -> ASGIApp:
    """The pod's ASGI app on a process's resources: no routes but the edge's own. Raises Misconfigured."""
    settings = resources.settings
    for field in ("redis_url", "nats_url"):
        settings.required(field)
    if settings.hub_url is None:
        settings.required("database_url")
    if hands_over(settings):
        settings.secret_keys()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        pod = Pod(resources)
        pod.start()
        try:
            yield
        finally:
            await pod.stop()

    return Starlette(lifespan=lifespan)


app = Edge("logger", build)


if __name__ == "__main__":
    sys.exit(run(app))
