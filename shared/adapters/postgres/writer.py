"""One shard's writer: batches of flushes into the store, each in one transaction, none of it twice (log.md, "Logger")."""

import asyncio
import logging
import struct
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date

import psycopg

from shared.adapters.postgres.batch import Batch, FlushId, flush_id, next_round, sort_out, undelivered
from shared.adapters.postgres.connections import Connection, connect
from shared.adapters.postgres.copy_rows import Row, delivery_rows, key_id, key_rows, message_rows, pieces
from shared.adapters.postgres.rare_rows import audit, dead_letter, refusal_count
from shared.adapters.postgres.statements import statement
from shared.adapters.postgres.times import FIRST_DAY, date_of, uuids
from shared.domain.errors import NotProcessable, Unavailable
from shared.domain.record import Flush

Owner = tuple[int, bytes]  # the day of the key that has an id, and its digest


class NotNew(Exception):
    """The store has an identity of a batch that was written as if all of it were new."""


SESSION = statement("writer_session")
LOCK_SHARD, NOTE_FLUSHES, FORGET_FLUSHES = statement("lock_shard"), statement("note_flushes"), statement("forget_flushes")
COPY_KEYS, KNOWN_KEYS = statement("copy_keys"), statement("known_keys")
KNOWN_CONFLICTS, COUNT_REDELIVERED = statement("known_conflicts"), statement("count_redelivered")
COPY_MESSAGES, COPY_DELIVERIES = statement("copy_messages"), statement("copy_deliveries")
INSERT_DEAD_LETTER, INSERT_REFUSAL_COUNT = statement("insert_dead_letter"), statement("insert_refusal_count")
INSERT_AUDIT, ENSURE_PARTITIONS = statement("insert_audit"), statement("ensure_partitions")

CAREFUL = 10.0  # seconds after a batch with a message that the store had
FORGETTING = 300.0  # seconds between two trims of `flushes`
RACES = 5  # times another cluster may take the same id at the same moment, one after the other

# What the store says of a record, and not of itself (PostgreSQL's documentation, "Error Codes"): data exceptions, integrity, and
# 54000, a value that is too long for an index.
POISON = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
UNWRITABLE = (ValueError, struct.error, OverflowError)  # surrogates; numbers no column holds; days no calendar has

log = logging.getLogger(__name__)


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
        """Copy everything in as new; where an identity is there already, look all of them up first, for this batch and those of the next
        seconds."""
        for _ in range(RACES):
            careful = time.monotonic() < self._careful_until
            try:
                return await self._write(await self._connected(), flushes, careful)
            except (psycopg.errors.UniqueViolation, NotNew):
                self._careful_until = time.monotonic() + CAREFUL
        raise Unavailable("another cluster keeps writing the same messages")

    async def _write(self, connection: Connection, flushes: Sequence[Flush], careful: bool) -> None:
        by_id = {flush_id(flush): flush for flush in flushes}
        batch = sort_out(by_id.values())
        await self._ensure_partitions(connection, batch.days())
        forget = time.monotonic() - self._forgot_at > FORGETTING
        try:
            fresh = await self._begin(connection, by_id)
            if len(fresh) < len(by_id):
                batch = sort_out(by_id[each] for each in sorted(fresh))
            await _insert(connection, batch, careful)
            if forget:
                await connection.execute(FORGET_FLUSHES, self._shard)
            await connection.commit()
        except (*POISON, NotNew):
            await connection.rollback()  # this connection is used again; after any other failure it is closed
            raise
        if forget:
            self._forgot_at = time.monotonic()

    async def _begin(self, connection: Connection, flushes: Collection[FlushId]) -> list[FlushId]:
        """Begin the transaction in one round trip, with the shard's lock and a note of these flushes; those that weren't in yet."""
        numbers, logged, contents = map(list, zip(*flushes, strict=True)) if flushes else ([], [], [])
        given = self._shard | {"numbers": numbers, "logged": logged, "contents": contents}
        async with connection.pipeline():
            await connection.execute(b"BEGIN")
            await connection.execute(LOCK_SHARD, self._shard)
            noted = await connection.execute(NOTE_FLUSHES, given)
        return [(number, logged_at, content) for number, logged_at, content in await noted.fetchall()]

    async def _ensure_partitions(self, connection: Connection, days: set[int]) -> None:
        """Make the days' partitions, and tomorrow's, before the batch: a row without one would be refused."""
        if missing := days - self._known_days:
            wanted = sorted({each for day in missing for each in (day, day + 1)})
            await connection.execute(ENSURE_PARTITIONS, {"days": [date_of(day) for day in wanted]})
            self._known_days |= missing


async def _insert(connection: Connection, batch: Batch, careful: bool) -> None:
    first = {} if careful else {row.record.message.id: row for row in batch.accepted}
    if len(first) == len(batch.accepted):
        rows = [*batch.accepted, *batch.attempts]
        await _insert_new(connection, first, rows)
    else:
        rows = await _insert_known(connection, batch.accepted)
        rows += batch.attempts
        await _copy(connection, COPY_MESSAGES, pieces(message_rows(rows)))
    if batch.deliveries:
        await _copy(connection, COPY_DELIVERIES, pieces(delivery_rows(batch.deliveries)))
    dead_letters = batch.dead_letters + undelivered(rows)
    async with connection.cursor() as cursor:
        if dead_letters:
            await cursor.executemany(INSERT_DEAD_LETTER, map(dead_letter, dead_letters))
        if batch.counts:
            await cursor.executemany(INSERT_REFUSAL_COUNT, map(refusal_count, batch.counts))
        if batch.audits:
            await cursor.executemany(INSERT_AUDIT, map(audit, batch.audits))


async def _insert_new(connection: Connection, first: dict[bytes, Row], rows: Sequence[Row]) -> None:
    """Copy messages in, then their keys: identities that are all different, and nearly always new.

    Messages are sent faster than the server takes them, which is most of its work: while it has some before it, the keys are packed and
    sorted, for which it would wait otherwise. Raises NotNew or UniqueViolation where the store has one of them: then nothing of this
    transaction may stay.
    """
    keys: list[bytes] = []

    def messages() -> Iterator[bytes]:
        yield from pieces(message_rows(rows))
        keys.extend(sorted(key_rows(first.values())))

    if rows:
        await _copy(connection, COPY_MESSAGES, messages())
    if keys:
        asked = {"ids": uuids([key_id(key) for key in keys]), "days": _dates(_beside(first.values()))}
        if await (await connection.execute(KNOWN_KEYS, asked, binary=True)).fetchone():
            raise NotNew
        await _copy(connection, COPY_KEYS, pieces(keys))


def _beside(rows: Iterable[Row]) -> set[int]:
    """The days to ask for keys of these messages: those beside their own, which are left to the unique index where they are all of one."""
    own = {row.day for row in rows}
    return _around(own) - own if len(own) == 1 else _around(own)


async def _insert_known(connection: Connection, accepted: Sequence[Row]) -> list[Row]:
    """Insert the keys of the identities that are new; the messages that get a row.

    Nothing else writes this shard now, so that what is not found can be copied in. (COPY writes a page of rows at once; INSERT ... ON
    CONFLICT writes each by itself, and twice: measured, the batch takes a quarter longer.) A key that is there nevertheless, just now from
    another cluster, is a unique violation: the batch is written again.
    """
    rows: list[Row] = []
    while accepted:
        taken = next_round(accepted)
        known = await _known(connection, taken.first)
        new = [row for message_id, row in taken.first.items() if message_id not in known]
        await _copy(connection, COPY_KEYS, pieces(key_rows(new)))
        if len(new) == len(accepted):
            rows += accepted
        else:
            rows += new
            owners = known | {row.record.message.id: (row.day, row.record.message.digest) for row in new}
            await _settle(connection, [taken.first[taken_id] for taken_id in known] + taken.repeats, owners, rows)
        accepted = taken.later
    return rows


async def _known(connection: Connection, first: dict[bytes, Row]) -> dict[bytes, Owner]:
    """The identities that the store has within the log window of theirs, and who owns each."""
    asked = {"ids": uuids(first), "days": _dates(_around({row.day for row in first.values()}))}
    found = await connection.execute(KNOWN_KEYS, asked, binary=True)
    known: dict[bytes, Owner] = {}
    for uuid, day, digest in await found.fetchall():
        message_id, number = uuid.bytes, day.toordinal() - FIRST_DAY
        # On the day itself or, else, beside it: both can be there where a day lay between them.
        if abs(number - first[message_id].day) <= 1 and (message_id not in known or number == first[message_id].day):
            known[message_id] = number, digest
    return known


def _around(days: set[int]) -> set[int]:
    return {each for day in days for each in (day - 1, day, day + 1)}


def _dates(days: set[int]) -> list[date]:
    return [date_of(day) for day in sorted(days)]


async def _settle(connection: Connection, repeats: Sequence[Row], owners: dict[bytes, Owner], rows: list[Row]) -> None:
    """Messages whose id is taken: the same digest, or a conflict that has its row, is counted as redelivered; another conflict is a row."""
    conflicts: dict[tuple[bytes, bytes], Row] = {}
    redelivered: Counter[bytes] = Counter()
    for row in repeats:
        message = row.record.message
        if message.digest == owners[message.id][1] or conflicts.setdefault((message.id, message.digest), row) is not row:
            redelivered[message.id] += 1
    if conflicts:
        for key in await _known_conflicts(connection, conflicts):
            del conflicts[key]
            redelivered[key[0]] += 1
        rows += [Row(row.record, row.logged_at, row.day, conflict=True) for row in conflicts.values()]
    if redelivered:
        counted = sorted(redelivered.items())
        days, times = [date_of(owners[message_id][0]) for message_id, _ in counted], [count for _, count in counted]
        await connection.execute(COUNT_REDELIVERED, {"ids": uuids([message_id for message_id, _ in counted]), "days": days, "times": times})


async def _known_conflicts(connection: Connection, conflicts: dict[tuple[bytes, bytes], Row]) -> list[tuple[bytes, bytes]]:
    ids, digests = zip(*conflicts, strict=True)
    days = [date_of(row.day) for row in conflicts.values()]
    found = await connection.execute(KNOWN_CONFLICTS, {"ids": uuids(ids), "digests": list(digests), "days": days}, binary=True)
    return [(uuid.bytes, digest) for uuid, digest in await found.fetchall()]


async def _copy(connection: Connection, copy: bytes, packed: Iterable[bytes]) -> None:
    async with connection.cursor() as cursor, cursor.copy(copy) as stream:
        for piece in packed:
            await stream.write(piece)
