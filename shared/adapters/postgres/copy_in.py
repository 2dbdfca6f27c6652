"""Packed rows into a table, and what a batch holds beside its messages."""

from collections.abc import Iterable

from shared.adapters.postgres.batch import Batch
from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.copy_rows import delivery_rows, pieces
from shared.adapters.postgres.rare_rows import audit, dead_letter, refusal_count
from shared.adapters.postgres.statements import statement

COPY_DELIVERIES, INSERT_DEAD_LETTER = statement("copy_deliveries"), statement("insert_dead_letter")
INSERT_REFUSAL_COUNT, INSERT_AUDIT = statement("insert_refusal_count"), statement("insert_audit")


async def copy_in(connection: Connection, copy: bytes, packed: Iterable[bytes]) -> None:
    """Give the pieces to a COPY statement as they come."""
    async with connection.cursor() as cursor, cursor.copy(copy) as stream:
        for piece in packed:
            await stream.write(piece)


async def insert_rest(connection: Connection, batch: Batch) -> None:
    """Deliveries, dead letters, counts of refusals and audits."""
    if batch.deliveries:
        await copy_in(connection, COPY_DELIVERIES, pieces(delivery_rows(batch.deliveries)))
    async with connection.cursor() as cursor:
        if batch.dead_letters:
            await cursor.executemany(INSERT_DEAD_LETTER, map(dead_letter, batch.dead_letters))
        if batch.counts:
            await cursor.executemany(INSERT_REFUSAL_COUNT, map(refusal_count, batch.counts))
        if batch.audits:
            await cursor.executemany(INSERT_AUDIT, map(audit, batch.audits))
