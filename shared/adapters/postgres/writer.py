"""One shard's writer: batches of flushes into the store, each in one transaction, none of it twice (log.md, "Logger")."""

import asyncio
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import psycopg

from shared.adapters.postgres.batch import Batch, FlushId, flush_id, has_twice, sort_out
from shared.adapters.postgres.connections import Connection, connect
from shared.adapters.postgres.known_batch import insert_known
from shared.adapters.postgres.new_batch import NewBatch, NewDay, NotNew, Twice, insert_new, new_batch
from shared.adapters.postgres.statements import statement
from shared.adapters.postgres.times import dates
from shared.domain.errors import NotProcessable, Unavailable
from shared.domain.record import Flush

Prepared = TypeVar("Prepared")

SESSION, ENSURE_PARTITIONS = statement("writer_session"), statement("ensure_partitions")
LOCK_SHARD, NOTE_FLUSHES, FORGET_FLUSHES = statement("lock_shard"), statement("note_flushes"), statement("forget_flushes")

CAREFUL = 10.0  # seconds after a batch with a message that the store had, or that it had twice
FORGETTING = 300.0  # seconds between two trims of `flushes`
RACES = 5  # times another cluster may take the same id at the same moment, one after the other

# What the store says of a record, and not of itself (PostgreSQL's documentation, "Error Codes"): data exceptions, integrity, and
# 54000, a value that is too long for an index.
POISON = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
UNWRITABLE = (ValueError, struct.error, OverflowError)  # surrogates; numbers no column holds; days no calendar has


class ShardWriter:
    """Writes one shard over one connection of its own, one batch at a time. A connection that saw an error or a cancel is closed."""

    def __init__(self, database_url: str, cluster: str, shard: int, deadline: float) -> None:
        self._database_url = database_url
        self._shard = {"cluster": cluster, "shard": shard}
        self._deadline = deadline
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self._known_days: set[int] = set()
        self._forgot_at = time.monotonic()
        self._careful_until = 0.0
        self._looking_until = 0.0  # for identities that a batch has twice, before anything of it is sent

    async def write(self, flushes: Sequence[Flush]) -> None:
        """Write a batch. Raises Unavailable (write the same again) or NotProcessable (a record of it is refused: nothing was written)."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._deadline):
                    await self._try(flushes)
            except POISON as error:
                raise NotProcessable(f"the store refuses a record: {error.diag.message_primary or error}") from error
            except UNWRITABLE as error:
                await self.close()
                raise NotProcessable(f"a record can't be written: {error}") from error
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self.close()
                raise Unavailable("the store can't be reached") from error
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Let go of the connection; the next batch makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._database_url, SESSION, f"switchboard-logger-{self._shard['shard']}")
            self._known_days.clear()
        return self._connection

    async def _try(self, flushes: Sequence[Flush]) -> None:
        """Write everything as new; where an identity is there already, look all of them up first, for this batch and those of the next
        seconds; where the batch has one twice, for this batch, and the next ones are seen through for that before they are sent."""
        races, twice = 0, self._has_twice(flushes)
        while races < RACES:
            connection = await self._connected()
            try:
                return await self._write(connection, flushes, careful=twice or time.monotonic() < self._careful_until)
            except NewDay:
                await self._ensure_partitions(connection, sort_out(flushes).days())
            except Twice:  # says nothing of what the store has: the batches behind it are as new as any
                twice = True
                self._looking_until = time.monotonic() + CAREFUL
            except (psycopg.errors.UniqueViolation, NotNew):
                self._careful_until = time.monotonic() + CAREFUL
                races += 1
        raise Unavailable("another cluster keeps writing the same messages")

    def _has_twice(self, flushes: Sequence[Flush]) -> bool:
        """Whether a batch has an identity twice, as one of the last seconds had: else it would be written, undone, and written again."""
        now = time.monotonic()
        found = now < self._looking_until and has_twice(flushes)
        if found:
            self._looking_until = now + CAREFUL
        return found

    async def _write(self, connection: Connection, flushes: Sequence[Flush], careful: bool) -> None:
        by_id = {flush_id(flush): flush for flush in flushes}
        forget = time.monotonic() - self._forgot_at > FORGETTING
        try:
            if careful:
                await insert_known(connection, await self._begin(connection, by_id, self._sorted_out))
            else:
                await insert_new(connection, await self._begin(connection, by_id, self._packed))
            if forget:
                await connection.execute(FORGET_FLUSHES, self._shard)
            await connection.commit()
        except (*POISON, NotNew, Twice, NewDay):
            await connection.rollback()  # this connection is used again; after any other failure it is closed
            raise
        if forget:
            self._forgot_at = time.monotonic()

    async def _begin(
        self, connection: Connection, flushes: Mapping[FlushId, Flush], prepare: Callable[[Sequence[Flush]], Prepared]
    ) -> Prepared:
        """Begin the transaction in one round trip, with the shard's lock and a note of these flushes; what `prepare` makes of those that
        weren't in yet. It makes it of all of them while the server is busy with that: nearly always none was in."""
        numbers, logged, contents = map(list, zip(*flushes, strict=True)) if flushes else ([], [], [])
        given = self._shard | {"numbers": numbers, "logged": logged, "contents": contents}
        async with connection.pipeline():
            await connection.execute(b"BEGIN")
            await connection.execute(LOCK_SHARD, self._shard)
            noted = await connection.execute(NOTE_FLUSHES, given)
            prepared = prepare(list(flushes.values()))
        fresh = [(number, logged_at, content) for number, logged_at, content in await noted.fetchall()]
        return prepared if len(fresh) == len(flushes) else prepare([flushes[each] for each in sorted(fresh)])

    def _packed(self, flushes: Sequence[Flush]) -> NewBatch:
        return new_batch(flushes, self._known_days)

    def _sorted_out(self, flushes: Sequence[Flush]) -> Batch:
        batch = sort_out(flushes)
        if not batch.days() <= self._known_days:
            raise NewDay
        return batch

    async def _ensure_partitions(self, connection: Connection, days: set[int]) -> None:
        """Make the days' partitions, and tomorrow's, before the batch: a row without one would be refused."""
        missing = days - self._known_days
        await connection.execute(ENSURE_PARTITIONS, {"days": dates({each for day in missing for each in (day, day + 1)})})
        self._known_days |= missing
