"""What one process holds of the outside: adapters, opened when first asked for and shared by all functions in it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, Self, TypeVar, cast, runtime_checkable

from shared.domain.errors import Unavailable
from shared.domain.rules.limits import Limits
from shared.edge.flight import Flight
from shared.edge.metrics import Counters
from shared.ports import Backbones, ConfigSource, ConfigStore, FeedWriter, Known, LogQueue, MessageStore, ReceivedLog, Registry
from shared.session import Cookies
from shared.settings import Settings
from shared.snapshots import SnapshotFollower

if TYPE_CHECKING:
    from shared.adapters.hub import HubCalls
    from shared.tokens.principals import Tokens

log = logging.getLogger(__name__)
Held = TypeVar("Held")
Closing = Callable[[], Awaitable[None]]

FIRST_SNAPSHOT = 3.0  # seconds to wait for the store before going on with the snapshot kept on disk
OPENING = 5.0  # seconds a server has to answer when an adapter is opened
# Last opened is not last closed: what still publishes goes first, then the log its delivery records ride on, then the store.
DRAIN = ("backbones", "log", "received", "store", "config", "hub")
# What can say whether it answered when it was last asked
REACHED = ("log", "feed", "config", "hub-config", "hub", "check-constraints", "route", "log-batch", "sink", "redis-door", "broker")
CALLED = {"hub-config": "config"}  # by /readyz and metrics


class Resources:
    """Adapters by the settings. Every accessor raises Unavailable while its server can't be reached, and tries again when next asked."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.snapshots = SnapshotFollower(self._config_source, settings.state_dir / "snapshot")
        self.cookies = Cookies(lambda: settings.secret_keys() if settings.secret_file else ())
        self.counters = Counters()
        self.flight = Flight()
        self.draining = False
        self._tokens: Tokens | None = None
        self._held: dict[str, object] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._closing: dict[str, Closing] = {}
        self._lost: set[str] = set()

    @classmethod
    def from_env(cls) -> Self:
        """By the environment's settings. Raises Misconfigured, also where nobody says where the config is."""
        settings = Settings.from_env()
        if settings.hub_url is None:
            settings.required("database_url")
        else:
            settings.secret_keys()
        return cls(settings)

    async def start(self) -> None:
        """Wait for the first snapshot, and follow the config from then on."""
        await self.snapshots.start(FIRST_SNAPSHOT)

    @property
    def tokens(self) -> "Tokens":
        """The issuers' tokens that this process takes."""
        if self._tokens is None:
            from shared.tokens.principals import Tokens

            self._tokens = Tokens()
            self.counters.tokens_refused = self._tokens.refused
            keys = self._tokens.keys
            self.counters.gauges["token_key_fetches_failed"] = lambda: float(keys.failures)
        return self._tokens

    def follow_issuers(self) -> None:
        """Have their keys at hand, where somebody here takes tokens: called in the event loop, once the functions are there."""
        if self._tokens is not None:
            self._tokens.start(self.snapshots)

    async def stop(self) -> None:
        """Close what was opened: whatever was made with once() first, then the adapters, in the order of DRAIN."""
        self.draining = True
        if self._tokens is not None:
            await self._tokens.stop()
        await self.snapshots.stop()
        names = [name for name in reversed(self._closing) if name not in DRAIN] + [name for name in DRAIN if name in self._closing]
        for name in names:
            try:
                await self._closing.pop(name)()
            except Exception:
                log.exception("closing %s failed", name)
        self._held.clear()

    @property
    def ready(self) -> bool:
        """Whether this process can give an honest answer, refusals included."""
        return self.snapshots.ready and not self.draining

    def degraded(self) -> list[str]:
        """The names of the dependencies that are lost now."""
        lost = set(self._lost)
        lost |= {CALLED.get(name, name) for name in REACHED if isinstance(held := self._held.get(name), Reaches) and not held.reachable()}
        if self.snapshots.lost:
            lost.add("config")
        backbones = cast("Backbones | None", self._held.get("backbones"))
        home = self.snapshots.current.home if self.snapshots.ready else None
        if backbones is not None and home is not None and not backbones.reachable(home):
            lost.add(f"backbone:{home}")
        queue = self._held.get("log")
        if isinstance(queue, Holds):
            lost |= {f"backbone:{backbone}" for backbone in queue.held()}
        return sorted(lost)

    async def once(self, name: str, make: Callable[[], Awaitable[tuple[Held, Closing | None]]]) -> Held:
        """What `make` returned when it was first called under this name: the thing, and how to close it.

        A failed call is forgotten, so that the next one tries again. Raises what make() raises; Unavailable after OPENING seconds.
        """
        if name not in self._held:
            async with self._locks.setdefault(name, asyncio.Lock()):
                if name not in self._held:
                    held, closing = await self._make(name, make)
                    self._held[name] = held
                    if closing is not None:
                        self._closing[name] = closing
        return cast("Held", self._held[name])

    async def _make(self, name: str, make: Callable[[], Awaitable[tuple[Held, Closing | None]]]) -> tuple[Held, Closing | None]:
        try:
            made = await asyncio.wait_for(make(), OPENING)
        except TimeoutError as error:
            self._lost.add(name)
            raise Unavailable(f"the {name} did not answer in {OPENING:g} s; retry with the same id") from error
        except Unavailable:
            self._lost.add(name)
            raise
        self._lost.discard(name)
        return made

    async def log(self) -> LogQueue:
        """The log queue in Redis."""
        return await self.once("log", self._open_log)

    async def received(self) -> ReceivedLog:
        """The log of messages that wait for their verdict, in the log's Redis."""
        return await self.once("received", self._open_received)

    async def backbones(self) -> Backbones:
        """The NATS backbones of this cluster."""
        return await self.once("backbones", self._open_backbones)

    async def store(self) -> MessageStore:
        """The message store."""
        return await self.once("store", self._open_store)

    async def config(self) -> ConfigStore:
        """The config store."""
        return await self.once("config", self._open_config)

    async def registry(self) -> Registry:
        """Where clusters and backbones are declared."""
        return await self.once("registry", self._open_registry)

    async def known(self) -> Known:
        """Where bodies and deliveries are asked for once they have left the log: the hub of an edge, else the message store."""
        return await (self.store() if self.settings.hub_url is None else self.once("hub-known", self._open_hub_known))

    @property
    def home(self) -> str:
        """The id of this cluster's own backbone. An edge's is its own name: delivery records of all clusters meet in the hub's store."""
        return "local" if self.settings.hub_url is None else self.settings.cluster

    async def _config_source(self) -> ConfigSource:
        return await (self.config() if self.settings.hub_url is None else self.once("hub-config", self._open_hub_config))

    async def feed_writer(self) -> FeedWriter:
        """The feed in Redis, for what other clusters logged."""
        return await self.once("feed", self._open_feed_writer)

    async def limits(self) -> Limits:
        """The rate limits' buckets, asked by time.monotonic(): shared with the other processes of the log's Redis, away or not; this
        process's own where there is none."""
        return await self.once("limits", self._open_limits)

    # Adapters are imported where they are opened: a process pays at its start for those it uses.

    async def _open_log(self) -> tuple[LogQueue, Closing]:
        from shared.adapters.redis.log_queue import RedisLogQueue

        wanted = self.settings
        queue = RedisLogQueue(
            wanted.required("redis_url"), shards=wanted.log_shards, limit_bytes=wanted.log_bytes, durability=wanted.log_durability
        )
        return await _started(queue), queue.stop

    async def _open_feed_writer(self) -> tuple[FeedWriter, Closing]:
        from shared.adapters.redis.feed_writer import RedisFeedWriter

        wanted = self.settings
        feed = RedisFeedWriter(wanted.required("redis_url"), wanted.log_shards, wanted.log_bytes)
        return await _started(feed), feed.stop

    async def _open_received(self) -> tuple[ReceivedLog, Closing]:
        from shared.adapters.redis.received_log import RedisReceivedLog

        wanted = self.settings
        received = RedisReceivedLog(
            wanted.required("redis_url"), shards=wanted.log_shards, limit_bytes=wanted.log_bytes, durability=wanted.log_durability
        )
        return await _started(received), received.stop

    async def _open_backbones(self) -> tuple[Backbones, Closing]:
        from shared.adapters.nats.backbones import NatsBackbones
        from shared.adapters.nats.endpoint import endpoints_of

        backbones = await _started(NatsBackbones({self.home: self.settings.required("nats_url")}))
        folder = self.settings.backbone_credentials
        self.snapshots.tell(lambda snapshot: backbones.follow(endpoints_of(snapshot.backbones, folder)))
        return backbones, backbones.stop

    async def _open_store(self) -> tuple[MessageStore, Closing]:
        from shared.adapters.postgres import PostgresMessageStore

        store = PostgresMessageStore(self.settings.required("database_url"), self.settings.cluster)
        return await _started(store), store.stop

    async def _open_config(self) -> tuple[ConfigStore, Closing]:
        from shared.adapters.postgres import PostgresConfigStore

        config = PostgresConfigStore(self.settings.required("database_url"), cluster=self.settings.cluster)
        return await _started(config), config.stop

    async def _open_registry(self) -> tuple[Registry, Closing]:
        from shared.adapters.postgres import PostgresRegistry

        registry = PostgresRegistry(self.settings.required("database_url"))
        return await _started(registry), registry.stop

    async def _open_hub_config(self) -> tuple[ConfigSource, None]:
        from shared.adapters.hub import HubConfig

        return HubConfig(await self._hub(), self.home), None

    async def _open_hub_known(self) -> tuple[Known, None]:
        from shared.adapters.hub import HubKnown

        return HubKnown(await self._hub()), None

    async def _hub(self) -> "HubCalls":
        """The way to the hub, one for all that is asked there."""

        async def make() -> "tuple[HubCalls, Closing]":
            from shared.adapters.hub import HubCalls

            calls = HubCalls(self.settings.required("hub_url"), self.settings.secret_keys())
            return await _started(calls), calls.stop

        return await self.once("hub", make)

    async def _open_limits(self) -> tuple[Limits, Closing | None]:
        if self.settings.redis_url is None:
            return Limits(), None
        from shared.adapters.redis.limits import SharedLimits

        shared = await _started(SharedLimits(self.settings.redis_url))
        return shared.limits, shared.stop


Startable = TypeVar("Startable", bound="Starts")


@runtime_checkable
class Reaches(Protocol):
    """An adapter that can say whether its server answered when it was last asked."""

    def reachable(self) -> bool: ...


@runtime_checkable
class Holds(Protocol):
    """A log that knows which backbones are left to the relay: they don't answer, whatever the connection says."""

    def held(self) -> list[str]: ...


class Starts(Protocol):
    """An adapter that holds connections."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def _started(adapter: Startable) -> Startable:
    """The adapter, started; stopped again where that fails, so that nothing of it stays behind."""
    try:
        await adapter.start()
    except BaseException:
        await adapter.stop()
        raise
    return adapter
