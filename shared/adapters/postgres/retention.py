"""What is kept no longer: whole days first, then what orgs keep shorter than the others."""

from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.statements import statement
from shared.adapters.postgres.times import moment
from shared.domain.retention import KEYS_AT_LEAST_S, Retention

DROP_DAYS, EXPIRE = statement("drop_days"), statement("expire")
ALONE = b"SELECT pg_try_advisory_xact_lock(hashtextextended('switchboard retention', 0))"
ORGS = b"SELECT org FROM orgs"  # every one there ever was
FORGET_QUARANTINE = b"DELETE FROM quarantine WHERE set_aside_at < %(before)s"

SECOND = 1_000_000


async def expire(connection: Connection, retention: Retention, now: int, limit: int) -> int:
    """One pass, in a transaction: about `limit` messages. How many rows and days went; 0 also while another is at it."""
    async with connection.transaction():
        [[alone]] = await (await connection.execute(ALONE)).fetchall()
        if not alone:
            return 0
        orgs = {org for (org,) in await (await connection.execute(ORGS)).fetchall()}
        longest = moment(now - retention.longest * SECOND)
        keys_before = moment(now - max(retention.longest, KEYS_AT_LEAST_S) * SECOND)
        [[gone]] = await (await connection.execute(DROP_DAYS, {"before": longest, "keys_before": keys_before})).fetchall()
        await connection.execute(FORGET_QUARANTINE, {"before": longest})
        for org in sorted(orgs | set(retention.by_org)):
            before = now - retention.of(org) * SECOND
            values = {"org": org, "limit": limit, "before": moment(before)}
            values["keys_before"] = moment(min(before, now - KEYS_AT_LEAST_S * SECOND))
            [[rows]] = await (await connection.execute(EXPIRE, values)).fetchall()
            gone += rows
            if gone >= limit:  # each pass is bounded in time
                break
        return int(gone)
