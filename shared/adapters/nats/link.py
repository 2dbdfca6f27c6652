"""The link to one backbone: always trying to be connected, with what is known of its streams for as long as a connection lasts."""

import asyncio
import contextlib
import logging

from nats.errors import Error

from shared.adapters.nats.connection import RETRY_EVERY, Connection
from shared.adapters.nats.streams import Stream

_log = logging.getLogger(__name__)


class Link:
    """Keeps a connection to one backbone. `url` may name several servers of it, separated by commas."""

    def __init__(self, backbone: str, url: str, name: str) -> None:
        self.backbone = backbone
        self.connection: Connection | None = None
        self.connected = asyncio.Event()  # set by the first connection
        self.streams: dict[str, Stream] = {}  # by org; forgotten with the connection
        self._servers = url.split(",")
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect in the background, and again whenever the connection ends."""
        self._task = asyncio.create_task(self._stay_connected(), name=f"nats:{self.backbone}")

    async def stop(self) -> None:
        """Disconnect; what waits for a PubAck is lost."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task, self.connection = None, None
            self.connected.clear()

    @property
    def live(self) -> bool:
        """Whether there is a connection now."""
        return self.connection is not None and self.connection.live

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._connect_once()
            except (OSError, TimeoutError, Error) as error:
                _log.warning("backbone %s refuses the connection: %s", self.backbone, error)
                await asyncio.sleep(RETRY_EVERY)
            except Exception:  # whatever it is, the backbone must not stay unconnected for it
                _log.exception("backbone %s: the connection failed", self.backbone)
                await asyncio.sleep(RETRY_EVERY)

    async def _connect_once(self) -> None:
        """Connect, however long it takes, and return when the connection has ended."""
        connection = Connection()
        try:
            await connection.open(self._servers, self._name)
            self.streams, self.connection = {}, connection
            self.connected.set()
            _log.info("backbone %s: connected", self.backbone)
            await connection.ended.wait()
            _log.warning("backbone %s: %s", self.backbone, connection.gone)
        finally:
            await connection.close()
