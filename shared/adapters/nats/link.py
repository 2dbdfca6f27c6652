"""The link to one backbone: always trying to be connected, with what is known of its streams for as long as a connection lasts."""

import asyncio
import logging
import random
import time

from nats.errors import Error

from shared.adapters.nats.connection import RETRY_EVERY, Connection
from shared.adapters.nats.endpoint import Endpoint, address_of
from shared.adapters.nats.streams import Stream
from shared.pause import doubled

OPENING = 5.0  # seconds for one server of an endpoint; then the next one is tried
LASTING = 10.0  # seconds after which the end of a connection is no failure of the endpoint
LONGEST_PAUSE = 10.0  # seconds between two attempts at an endpoint of the registry: a thousand that are away are not to cost a core

_log = logging.getLogger(__name__)


class Link:
    """Keeps a connection to one backbone. `url` may name several servers of it, separated by commas; an `endpoint` of the registry is
    looked up and checked each time instead."""

    def __init__(self, backbone: str, url: str, name: str, endpoint: Endpoint | None = None) -> None:
        self.backbone = backbone
        self.endpoint = endpoint
        self.connection: Connection | None = None
        self.connected = asyncio.Event()  # set by the first connection
        self.number = 0  # of the connection: how many there were
        self.looked_at = 1  # the last of them on which what streams have was looked at; nothing was published before the first
        self.streams: dict[str, Stream] = {}  # by org; forgotten with the connection
        self._servers = url.split(",")
        self._name = name
        self._turn = 0  # which server of an endpoint is tried next
        self._failures = 0  # in a row
        self.refused = ""  # why, as said last
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect in the background, and again whenever the connection ends."""
        self._task = asyncio.create_task(self._stay_connected(), name=f"nats:{self.backbone}")

    async def stop(self) -> None:
        """Disconnect; what waits for a PubAck is lost."""
        task, self._task = self._task, None
        while task is not None and not task.done():
            task.cancel()  # more than once: on Python 3.11 wait_for(), which nats-py connects with, can swallow a cancel
            await asyncio.wait([task], timeout=RETRY_EVERY)
        self.connection = None
        self.connected.clear()

    @property
    def live(self) -> bool:
        """Whether there is a connection now."""
        return self.connection is not None and self.connection.live

    async def _stay_connected(self) -> None:
        while True:
            try:
                lasted = await self._connect_once()
                if lasted >= LASTING:
                    self._failures = 0
                elif self.endpoint is not None:  # a server that lets us in and ends it is no better than one that doesn't
                    await asyncio.sleep(self._pause())
            except (OSError, TimeoutError, Error) as error:
                self._say(str(error) or "it does not answer")
                await asyncio.sleep(self._pause())
            except Exception:  # whatever it is, the backbone must not stay unconnected for it
                _log.exception("backbone %s: the connection failed", self.backbone)
                await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """Seconds until the next attempt: longer each time at what anybody may have declared, and not at the home backbone."""
        if self.endpoint is None:
            return RETRY_EVERY
        self._failures += 1
        return doubled(RETRY_EVERY, LONGEST_PAUSE, self._failures) * random.uniform(0.5, 1.0)  # noqa: S311  # no secret: so that a thousand do not try together

    async def _connect_once(self) -> float:
        """Connect, however long it takes, and return when the connection has ended: how many seconds it lasted."""
        connection = Connection()
        try:
            await self._open(connection)
            self.refused, began = "", time.monotonic()
            self.streams, self.connection, self.number = {}, connection, self.number + 1
            self.connected.set()
            _log.info("backbone %s: connected", self.backbone)
            await connection.ended.wait()
            _log.warning("backbone %s: %s", self.backbone, connection.gone)
            return time.monotonic() - began
        finally:
            await connection.close()

    async def _open(self, connection: Connection) -> None:
        """Connect to a server. Raises OSError, TimeoutError or nats.errors.Error."""
        if self.endpoint is None:
            await connection.open(self._servers, self._name)
            return
        server = self.endpoint.servers[self._turn % len(self.endpoint.servers)]
        self._turn += 1
        async with asyncio.timeout(OPENING):
            url, hostname = await address_of(server, self.endpoint)
            options = self.endpoint.options | ({"tls_hostname": hostname} if url.startswith("tls:") else {})
            await connection.open([url], self._name, once=True, **options)
        if self.endpoint.domain not in ("", connection.domain):
            raise OSError(f"its JetStream domain is {connection.domain or 'none'}, and it is declared as {self.endpoint.domain}")

    def _say(self, why: str) -> None:
        """Once for each reason: a backbone may be away for long."""
        if why != self.refused:
            _log.warning("backbone %s refuses the connection: %s", self.backbone, why)
        self.refused = why
