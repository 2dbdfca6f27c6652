"""Receipts to inboxes on the home backbone's server: core messages, so that who doesn't listen doesn't get them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.errors import Error

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.link import Link
from shared.adapters.nats.replies import Lost
from shared.adapters.nats.submissions import say
from shared.domain.errors import Unavailable

WITHIN = 2  # seconds for the server to answer; whole, as nats-py wants it


class NatsReceipts:
    """The Receipts port on NATS, for places `_INBOX.<org>.<...>`. `url` may name several servers, separated by commas."""

    def __init__(self, url: str) -> None:
        self._link = Link("receipts", url, "switchboard receipts")

    async def start(self) -> None:
        """Begin to connect, and stay connected."""
        self._link.start()

    async def stop(self) -> None:
        """Let the connection go."""
        await self._link.stop()

    async def tell(self, org: str, place: str, receipt: bytes) -> None:
        """See Receipts.tell."""
        async with self._connected() as connection:
            say(connection, [(place, receipt)])
            await connection.flush(WITHIN)  # the server has it then

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        try:
            await asyncio.wait_for(self._link.connected.wait(), WITHIN)
            if self._link.connection is None or not self._link.live:
                raise Lost("not connected")
            yield self._link.connection
        except (OSError, TimeoutError, Error, Lost) as error:
            raise Unavailable("the server of the receipts' inboxes does not answer", retry_after_ms=1000) from error
