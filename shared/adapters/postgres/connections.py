"""A few connections that are shared, one statement or transaction at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from shared.adapters.postgres.times import Uuids, UuidsDumper
from shared.domain.errors import Malformed, Unavailable

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Found = TypeVar("Found")

CONNECTING = 5  # seconds
DEADLINE = 15.0  # seconds for all of one call, waiting for a free connection included
LIFETIME = 1800.0  # seconds: a server behind a balancer that changed is left within this time


async def connect(database_url: str, session: bytes, name: str) -> Connection:
    """A new connection in autocommit mode, set up with the statements of `session`; `name` is what the server calls it."""
    connection = await psycopg.AsyncConnection.connect(
        database_url,
        autocommit=True,
        prepare_threshold=None,  # a plan for the very values: conditions that aren't given fold away, and so do other days' partitions
        connect_timeout=CONNECTING,
        application_name=name,
    )
    try:
        connection.adapters.register_dumper(Uuids, UuidsDumper)
        await connection.execute(session)
    except BaseException:
        await connection.close()
        raise
    return connection


class Connections:
    """At most `size` connections, made when they are needed. One that saw an error or a cancel is closed, never used again."""

    def __init__(self, database_url: str, session: bytes, name: str, size: int = 8) -> None:
        self._database_url = database_url
        self._session = session
        self._name = name
        self._free = asyncio.Semaphore(size)
        self._idle: list[tuple[Connection, float]] = []  # with the time each was made
        self._closed = False

    async def run(self, work: Callable[[Connection], Awaitable[Found]], repeatable: bool = True) -> Found:
        """What `work` returns, given a connection in autocommit mode. Work that is `repeatable` is tried once more on a new connection
        when an idle one turns out to be dead.

        Raises Unavailable when the store can't be reached or takes too long, Malformed when it can't read a value it is given.
        """
        try:
            async with asyncio.timeout(DEADLINE), self._free:
                return await self._run(work, repeatable)
        except psycopg.errors.QueryCanceled as error:
            raise Unavailable("the store took too long; ask for less, or for a shorter time") from error
        except (psycopg.DataError, UnicodeEncodeError) as error:
            raise Malformed("the store can't look for a value with these characters, or of this size") from error
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise Unavailable("the store can't be reached") from error

    async def close(self) -> None:
        """Close what is idle, and the others when they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop()[0].close()

    async def _run(self, work: Callable[[Connection], Awaitable[Found]], repeatable: bool) -> Found:
        used = await self._take_idle(check=not repeatable)
        if used is not None:
            try:
                return await self._use(*used, work)
            except psycopg.OperationalError as error:
                if not repeatable or isinstance(error, psycopg.errors.QueryCanceled):
                    raise
        return await self._use(await connect(self._database_url, self._session, self._name), time.monotonic(), work)

    async def _use(self, connection: Connection, made: float, work: Callable[[Connection], Awaitable[Found]]) -> Found:
        try:
            found = await work(connection)
        except BaseException:
            await connection.close()
            raise
        if self._closed or connection.info.transaction_status != TransactionStatus.IDLE:
            await connection.close()
        else:
            self._idle.append((connection, made))
        return found

    async def _take_idle(self, check: bool) -> tuple[Connection, float] | None:
        """The connection used last that is neither old nor, where that is checked, dead."""
        while self._idle:
            connection, made = self._idle.pop()
            try:
                if time.monotonic() - made < LIFETIME and not connection.closed:
                    if check:
                        await connection.execute(b"SELECT 1")
                    return connection, made
            except psycopg.OperationalError:
                pass  # it is dead: closed below, and the next one is tried
            except BaseException:
                await connection.close()
                raise
            await connection.close()
        return None
