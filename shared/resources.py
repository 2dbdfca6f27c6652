"""What one process holds of the outside: adapters, opened when first asked for and shared by all functions in it."""

from functools import cached_property
from typing import TYPE_CHECKING, Self, cast

from shared.domain.errors import Misconfigured
from shared.domain.rules.limits import Limits
from shared.edge.flight import Flight
from shared.edge.metrics import Counters
from shared.opened import Closing, Holds, Opened, started
from shared.session import Cookies
from shared.settings import Settings
from shared.snapshots import SnapshotFollower
from shared.trust.logins import Logins

if TYPE_CHECKING:
    from shared.adapters.hub import HubCalls, HubKnown
    from shared.ports import (
        Backbones,
        ConfigSource,
        ConfigStore,
        Credentials,
        FeedWriter,
        FirstCopies,
        Known,
        LogQueue,
        MessageStore,
        ReceivedLog,
        Registry,
        SnapshotKeeper,
        Streams,
    )
    from shared.tokens.principals import Tokens
    from shared.trust.keeping import KeptTrusts

HOME = "local"  # the id of the home backbone where hub and edge are one, and the name of a cluster that nobody named
FIRST_SNAPSHOT = 3.0  # seconds to wait for the store before going on with the snapshot kept on disk


class Resources(Opened):
    """Adapters by the settings. Every accessor raises Unavailable while its server can't be reached, and tries again when next asked."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.snapshots = SnapshotFollower(self.config_source, settings.state_dir / "snapshot", self._snapshot_keeper())
        self.cookies = Cookies(lambda: settings.secret_keys() if settings.secret_file else ())
        self.counters = Counters()
        self.flight = Flight()
        self.draining = False
        self._tokens: Tokens | None = None

    @classmethod
    def from_env(cls) -> Self:
        """By the environment's settings. Raises Misconfigured, also where nobody says where the config is, or what an edge is called."""
        settings = Settings.from_env()
        if settings.hub_url is None:
            settings.required("database_url")
        else:
            settings.secret_keys()
            if settings.cluster == HOME:
                raise Misconfigured(f"SWITCHBOARD_CLUSTER: an edge needs a name that no other cluster has, and {HOME} is everybody's")
        return cls(settings)

    async def start(self) -> None:
        """Wait for the first snapshot, and follow the config from then on."""
        await self.snapshots.start(FIRST_SNAPSHOT)

    @cached_property
    def logins(self) -> Logins:
        """How this process signs in to the backbones that have keys."""
        return Logins(self.settings.secret_keys() if self.settings.secret_file else ())

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
        await self.close()

    @property
    def ready(self) -> bool:
        """Whether this process can give an honest answer, refusals included."""
        return self.snapshots.ready and not self.draining

    def degraded(self) -> list[str]:
        """The names of the dependencies that are lost now."""
        lost = self.unreachable()
        if self.snapshots.lost:
            lost.add("config")
        backbones = cast("Backbones | None", self.held("backbones"))
        home = self.snapshots.current.home if self.snapshots.ready else None
        if backbones is not None and home is not None and not backbones.reachable(home):
            lost.add(f"backbone:{home}")
        queue = self.held("log")
        if isinstance(queue, Holds):
            lost |= {f"backbone:{backbone}" for backbone in queue.held()}
        return sorted(lost)

    async def log(self) -> "LogQueue":
        """The log queue in Redis."""
        return await self.once("log", self._open_log)

    async def received(self) -> "ReceivedLog":
        """The log of messages that wait for their verdict, in the log's Redis."""
        return await self.once("received", self._open_received)

    async def backbones(self) -> "Streams":
        """The NATS backbones of this cluster."""
        return await self.once("backbones", self._open_backbones)

    async def store(self) -> "MessageStore":
        """The message store."""
        return await self.once("store", self._open_store)

    async def config(self) -> "ConfigStore":
        """The config store."""
        return await self.once("config", self._open_config)

    async def registry(self) -> "Registry":
        """Where clusters and backbones are declared."""
        return await self.once("registry", self._open_registry)

    async def credentials(self) -> "Credentials":
        """The credentials of agents on backbones, and the keys that sign them."""
        return await self.once("credentials", self._open_credentials)

    async def trusts(self) -> "KeptTrusts":
        """The keys of backbones. Without the install's secret there are none."""

        async def make() -> "tuple[KeptTrusts, None]":
            from shared.trust.keeping import KeptTrusts

            return KeptTrusts(await self.credentials(), self.settings.secret_keys() if self.settings.secret_file else ()), None

        return await self.once("trusts", make)

    async def known(self) -> "Known":
        """Where bodies and deliveries are asked for once they have left the log: the hub of an edge, else the message store."""
        return await (self.store() if self.settings.hub_url is None else self.once("hub-known", self._open_hub_known))

    async def first_copies(self) -> "FirstCopies":
        """Where is asked what became of messages that come again: likewise."""
        return await (self.store() if self.settings.hub_url is None else self.once("hub-known", self._open_hub_known))

    @property
    def home(self) -> str:
        """The id of this cluster's own backbone. An edge's is its own name: delivery records of all clusters meet in the hub's store."""
        return HOME if self.settings.hub_url is None else self.settings.cluster

    async def config_source(self) -> "ConfigSource":
        """Where snapshots come from: the config store, or an edge's hub."""
        return await (self.config() if self.settings.hub_url is None else self.once("hub-config", self._open_hub_config))

    def _snapshot_keeper(self) -> "SnapshotKeeper | None":
        """An edge's, where it has a Redis: its hub may be away for long, while its pods come and go."""
        if self.settings.hub_url is None or self.settings.redis_url is None:
            return None
        from shared.adapters.redis.snapshot_keeper import RedisSnapshotKeeper

        return RedisSnapshotKeeper(self.settings.redis_url)

    async def feed_writer(self) -> "FeedWriter":
        """The feed in Redis, for what other clusters logged."""
        return await self.once("feed", self._open_feed_writer)

    async def limits(self) -> Limits:
        """The rate limits' buckets, asked by time.monotonic(): shared with the other processes of the log's Redis, away or not; this
        process's own where there is none."""
        return await self.once("limits", self._open_limits)

    # Adapters are imported where they are opened: a process pays at its start for those it uses.

    async def _open_log(self) -> "tuple[LogQueue, Closing]":
        from shared.adapters.redis.log_queue import RedisLogQueue

        wanted = self.settings
        queue = RedisLogQueue(
            wanted.required("redis_url"),
            shards=wanted.log_shards,
            limit_bytes=wanted.log_bytes,
            durability=wanted.log_durability,
            wait_ms=wanted.log_wait * 1000,
        )
        return await started(queue), queue.stop

    async def _open_feed_writer(self) -> "tuple[FeedWriter, Closing]":
        from shared.adapters.redis.feed_writer import RedisFeedWriter

        wanted = self.settings
        feed = RedisFeedWriter(wanted.required("redis_url"), wanted.log_shards, wanted.log_bytes)
        return await started(feed), feed.stop

    async def _open_received(self) -> "tuple[ReceivedLog, Closing]":
        from shared.adapters.redis.received_log import RedisReceivedLog

        wanted = self.settings
        received = RedisReceivedLog(
            wanted.required("redis_url"),
            shards=wanted.log_shards,
            limit_bytes=wanted.log_bytes,
            durability=wanted.log_durability,
            wait_ms=wanted.log_wait * 1000,
        )
        return await started(received), received.stop

    async def _open_backbones(self) -> "tuple[Streams, Closing]":
        from shared.adapters.nats.backbones import NatsBackbones
        from shared.adapters.nats.endpoint import endpoints_of

        backbones = await started(NatsBackbones({self.home: self.settings.required("nats_url")}))
        folder = self.settings.backbone_credentials
        self.snapshots.tell(lambda snapshot: backbones.follow(endpoints_of(snapshot.backbones, folder, self.logins.of)))
        return backbones, backbones.stop

    async def _open_store(self) -> "tuple[MessageStore, Closing]":
        from shared.adapters.postgres import PostgresMessageStore

        store = PostgresMessageStore(self.settings.required("database_url"), self.settings.cluster)
        return await started(store), store.stop

    async def _open_config(self) -> "tuple[ConfigStore, Closing]":
        from shared.adapters.postgres import PostgresConfigStore

        config = PostgresConfigStore(self.settings.required("database_url"), cluster=self.settings.cluster)
        return await started(config), config.stop

    async def _open_registry(self) -> "tuple[Registry, Closing]":
        from shared.adapters.postgres import PostgresRegistry

        registry = PostgresRegistry(self.settings.required("database_url"))
        return await started(registry), registry.stop

    async def _open_credentials(self) -> "tuple[Credentials, Closing]":
        from shared.adapters.postgres import PostgresCredentials

        credentials = PostgresCredentials(self.settings.required("database_url"))
        return await started(credentials), credentials.stop

    async def _open_hub_config(self) -> "tuple[ConfigSource, None]":
        from shared.adapters.hub import HubConfig

        return HubConfig(await self._hub(), self.home), None

    async def _open_hub_known(self) -> "tuple[HubKnown, None]":
        from shared.adapters.hub import HubKnown

        return HubKnown(await self._hub()), None

    async def _hub(self) -> "HubCalls":
        """The way to the hub, one for all that is asked there."""

        async def make() -> "tuple[HubCalls, Closing]":
            from shared.adapters.hub import HubCalls

            calls = HubCalls(self.settings.required("hub_url"), self.settings.secret_keys())
            return await started(calls), calls.stop

        return await self.once("hub", make)

    async def _open_limits(self) -> tuple[Limits, Closing | None]:
        if self.settings.redis_url is None:
            return Limits(), None
        from shared.adapters.redis.limits import SharedLimits

        shared = await started(SharedLimits(self.settings.redis_url))
        return shared.limits, shared.stop
