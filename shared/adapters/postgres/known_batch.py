"""A batch whose identities are looked up before they are written: one of it, or of those just before, was there already."""

from collections import Counter
from collections.abc import Sequence

from shared.adapters.postgres.batch import Batch, around, next_round, undelivered
from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.copy_in import copy_in, insert_rest
from shared.adapters.postgres.copy_rows import COPY_KEYS, COPY_MESSAGES, Row, key_rows, message_rows, pieces
from shared.adapters.postgres.statements import statement
from shared.adapters.postgres.times import FIRST_DAY, date_of, dates, uuids

Owner = tuple[int, bytes]  # the day of the key that has an id, and its digest

KNOWN_KEYS, KNOWN_CONFLICTS = statement("known_keys"), statement("known_conflicts")
COUNT_REDELIVERED = statement("count_redelivered")


async def insert_known(connection: Connection, batch: Batch) -> None:
    """Insert what the store doesn't have. A key that another cluster wrote just now is a unique violation: the batch is written again."""
    rows = await _insert_keys(connection, batch.accepted)
    batch.dead_letters += undelivered(rows)
    rows += batch.attempts
    if rows:
        await copy_in(connection, COPY_MESSAGES, pieces(message_rows(rows)))
    await insert_rest(connection, batch)


async def _insert_keys(connection: Connection, accepted: Sequence[Row]) -> list[Row]:
    """Insert the keys of the identities that are new; the messages that get a row.

    Nothing else writes this shard now, so that what is not found can be copied in. (COPY writes a page of rows at once; INSERT ... ON
    CONFLICT writes each by itself, and twice: measured, the batch takes a quarter longer.)
    """
    rows: list[Row] = []
    while accepted:
        taken = next_round(accepted)
        known = await _known(connection, taken.first)
        new = [row for message_id, row in taken.first.items() if message_id not in known]
        await copy_in(connection, COPY_KEYS, pieces(key_rows(new)))
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
    asked = {"ids": uuids(first), "days": dates(around({row.day for row in first.values()}))}
    found = await connection.execute(KNOWN_KEYS, asked, binary=True)
    known: dict[bytes, Owner] = {}
    for uuid, day, digest in await found.fetchall():
        message_id, number = uuid.bytes, day.toordinal() - FIRST_DAY
        # On the day itself or, else, beside it: both can be there where a day lay between them.
        if abs(number - first[message_id].day) <= 1 and (message_id not in known or number == first[message_id].day):
            known[message_id] = number, digest
    return known


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
