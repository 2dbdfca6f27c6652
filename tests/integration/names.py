"""A name that leads to a server, and after a failover to another: a port of its own, in a thread of its own."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536  # bytes


class Name:
    """Forwards each connection to where the name leads when it is made. `url` is the first server's, by the name."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="name", daemon=True)
        self._target = urlsplit(url)
        self._going: set[asyncio.Task[None]] = set()
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._accepted, "127.0.0.1", 0))
        port = self._server.sockets[0].getsockname()[1]
        credentials = f"{self._target.netloc.rpartition('@')[0]}@" if "@" in self._target.netloc else ""
        self.url = urlunsplit(self._target._replace(netloc=f"{credentials}127.0.0.1:{port}"))

    def lead_to(self, url: str, *, cut: bool) -> None:
        """New connections go there from now on. Those that are there end, if they are `cut`, or stay where they are."""
        self._run(self._lead_to(url, cut))

    def close(self) -> None:
        """Nobody is there any more."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _lead_to(self, url: str, cut: bool) -> None:
        self._target = urlsplit(url)
        if cut:
            await self._cut()

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        await self._server.wait_closed()

    async def _cut(self) -> None:
        going = list(self._going)
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._going.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._forward(reader, writer)
        finally:
            self._going.discard(task)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one of the two ends it."""
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        pumps = [asyncio.create_task(_pump(reader, back)), asyncio.create_task(_pump(there, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            back.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()


@contextmanager
def name_of(url: str) -> Iterator[Name]:
    """A name that leads to the server of this URL, for the time of the block."""
    name = Name(url)
    try:
        yield name
    finally:
        name.close()
