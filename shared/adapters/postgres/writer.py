"""One shard's writer: batches of flushes into the store, each in one transaction, none of it twice (log.md, "Logger")."""

import asyncio
import logging
import struct
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from shared.adapters.postgres.batch import Batch, flush_id, next_round, sort_out
from shared.adapters.postgres.copy_rows import Key, Row, delivery_rows, key_rows, message_rows, pieces
from shared.adapters.postgres.statements import statement
from shared.domain.errors import NotProcessable, Unavailable
from shared.domain.record import Audit, DeadLetter, Flush, RefusalCount

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

SESSION = statement("writer_session")
LOCK_SHARD, NOTE_FLUSHES, FORGET_FLUSHES = statement("lock_shard"), statement("note_flushes"), statement("forget_flushes")
COPY_KEYS, INSERT_KEYS, KNOWN_KEYS, CLEAR_KEYS = (statement(f"{name}_keys") for name in ("copy", "insert", "known", "clear"))
KNOWN_CONFLICTS, COUNT_REDELIVERED = statement("known_conflicts"), statement("count_redelivered")
COPY_MESSAGES, COPY_DELIVERIES = statement("copy_messages"), statement("copy_deliveries")
INSERT_DEAD_LETTER, INSERT_REFUSAL_COUNT = statement("insert_dead_letter"), statement("insert_refusal_count")
INSERT_AUDIT, ENSURE_PARTITIONS = statement("insert_audit"), statement("ensure_partitions")

CONNECTING = 5  # seconds
FORGETTING = 300.0  # seconds between two trims of `flushes`
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

# What the store says of a record, and not of itself (PostgreSQL's documentation, "Error Codes"): data exceptions, integrity, and
# 54000, a value that is too long for an index.
POISON = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
UNWRITABLE = (UnicodeEncodeError, struct.error, OverflowError)

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

    async def write(self, flushes: Sequence[Flush]) -> None:
        """Write a batch. Raises Unavailable (write the same again) or NotProcessable (a record of it is refused: nothing was written)."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._deadline):
                    await self._write(await self._connected(), flushes)
            except POISON as error:
                raise NotProcessable(f"the store refuses a record: {error.diag.message_primary or error}") from error
            except UNWRITABLE as error:
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
            connection = await psycopg.AsyncConnection.connect(
                self._database_url,
                autocommit=True,
                prepare_threshold=None,  # plans are made for each batch's own days
                connect_timeout=CONNECTING,
                application_name=f"switchboard-logger-{self._shard['shard']}",
            )
            self._connection = connection
            self._known_days.clear()
            await connection.execute(SESSION)
        return self._connection

    async def _write(self, connection: Connection, flushes: Sequence[Flush]) -> None:
        by_id = {flush_id(flush): flush for flush in flushes}
        batch = sort_out(by_id.values())
        await self._ensure_partitions(connection, batch.days())
        forget = time.monotonic() - self._forgot_at > FORGETTING
        async with connection.transaction():
            await connection.execute(LOCK_SHARD, self._shard)
            numbers, logged, contents = zip(*by_id, strict=True) if by_id else ((), (), ())
            noted = await connection.execute(
                NOTE_FLUSHES, self._shard | {"numbers": list(numbers), "logged": list(logged), "contents": list(contents)}
            )
            fresh = await noted.fetchall()
            if len(fresh) < len(by_id):
                batch = sort_out(by_id[number, logged_at, content] for number, logged_at, content in sorted(fresh))
            await _insert(connection, batch)
            if forget:
                await connection.execute(FORGET_FLUSHES, self._shard)
        if forget:
            self._forgot_at = time.monotonic()

    async def _ensure_partitions(self, connection: Connection, days: set[int]) -> None:
        """Make the days' partitions, and tomorrow's, before the batch: a row without one would be refused."""
        if missing := days - self._known_days:
            wanted = sorted({each for day in missing for each in (day, day + 1)})
            await connection.execute(ENSURE_PARTITIONS, {"days": [_date(day) for day in wanted]})
            self._known_days |= missing


async def _insert(connection: Connection, batch: Batch) -> None:
    rows: list[Row] = []
    accepted: Sequence[Key] = batch.accepted
    while accepted:
        accepted = await _insert_round(connection, accepted, rows)
    rows += batch.attempts
    if rows:
        await _copy(connection, COPY_MESSAGES, pieces(message_rows(rows)))
    if batch.deliveries:
        await _copy(connection, COPY_DELIVERIES, pieces(delivery_rows(batch.deliveries)))
    async with connection.cursor() as cursor:
        if batch.dead_letters:
            await cursor.executemany(INSERT_DEAD_LETTER, map(_dead_letter, batch.dead_letters))
        if batch.counts:
            await cursor.executemany(INSERT_REFUSAL_COUNT, map(_refusal_count, batch.counts))
        if batch.audits:
            await cursor.executemany(INSERT_AUDIT, map(_audit, batch.audits))


async def _insert_round(connection: Connection, accepted: Sequence[Key], rows: list[Row]) -> list[Key]:
    """Insert the keys of identities that are new, and add their messages to `rows`; what is left is for another round."""
    sorted_out = next_round(accepted)
    first = sorted_out.first
    days = {key.day for key in first.values()}
    beside = [_date(day) for day in sorted({each for day in days for each in (day - 1, day, day + 1)})]
    await _copy(connection, COPY_KEYS, pieces(key_rows(first.values())))
    inserted = await connection.execute(INSERT_KEYS, {"beside": beside})
    known: dict[bytes, tuple[date, bytes]] = {}
    if inserted.rowcount < len(first):
        found = await connection.execute(KNOWN_KEYS, {"days": beside})
        known = {taken.bytes: (day, digest) for taken, day, digest in await found.fetchall()}
    rows += [Row(key.record, key.logged_at) for key in accepted if first[key.id] is key and key.id not in known]
    repeats = [key for taken, key in first.items() if taken in known] + sorted_out.repeats
    if repeats:
        owners = {key.id: known.get(key.id) or (_date(first[key.id].day), first[key.id].record.message.digest) for key in repeats}
        await _settle(connection, repeats, owners, rows)
    if sorted_out.later:
        await connection.execute(CLEAR_KEYS)
    return sorted_out.later


async def _settle(connection: Connection, repeats: Sequence[Key], owners: dict[bytes, tuple[date, bytes]], rows: list[Row]) -> None:
    """Messages whose id is taken: the same digest, or a conflict that has its row, is counted as redelivered; another conflict is a row."""
    conflicts: dict[tuple[bytes, bytes], Key] = {}
    redelivered: Counter[bytes] = Counter()
    for key in repeats:
        digest = key.record.message.digest
        if digest == owners[key.id][1] or conflicts.setdefault((key.id, digest), key) is not key:
            redelivered[key.id] += 1
    if conflicts:
        found = await connection.execute(
            KNOWN_CONFLICTS,
            {
                "ids": [UUID(bytes=taken) for taken, _ in conflicts],
                "digests": [digest for _, digest in conflicts],
                "days": [_date(key.day) for key in conflicts.values()],
            },
        )
        for taken, digest in await found.fetchall():
            del conflicts[taken.bytes, digest]
            redelivered[taken.bytes] += 1
        rows += [Row(key.record, key.logged_at, conflict=True) for key in conflicts.values()]
    if redelivered:
        ids = sorted(redelivered)
        await connection.execute(
            COUNT_REDELIVERED,
            {
                "ids": [UUID(bytes=taken) for taken in ids],
                "days": [owners[taken][0] for taken in ids],
                "times": [redelivered[taken] for taken in ids],
            },
        )


async def _copy(connection: Connection, copy: bytes, made: Iterable[bytes]) -> None:
    async with connection.cursor() as cursor, cursor.copy(copy) as stream:
        for piece in made:
            await stream.write(piece)


def _date(day: int) -> date:
    return date.fromordinal(719_163 + day)  # 1970-01-01


def _time(microseconds: int) -> datetime:
    return BEGINNING + timedelta(microseconds=microseconds)


def _dead_letter(record: DeadLetter) -> dict[str, object]:
    return {
        "time": _time(record.time),
        "id": UUID(bytes=record.id),
        "org": record.org,
        "backbone": record.backbone,
        "reason": record.reason,
        "attempts": record.attempts,
    }


def _refusal_count(record: RefusalCount) -> dict[str, object]:
    return {
        "record_id": UUID(bytes=record.record_id),
        "second": _time(record.second * 1_000_000),
        "org": record.org,
        "principal": record.principal,
        "rule": record.rule,
        "count": record.count,
    }


def _audit(record: Audit) -> dict[str, object]:
    return {
        "record_id": UUID(bytes=record.record_id),
        "time": _time(record.time),
        "org": record.org,
        "principal": record.principal,
        "action": record.action,
        "path": record.path,
        "before": record.before,
        "after": record.after,
    }
