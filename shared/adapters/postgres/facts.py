"""What `switchboard doctor` asks the store."""

import psycopg

from shared.adapters.postgres.statements import statement
from shared.domain.errors import Unavailable


def timescaledb_version(database_url: str) -> str | None:
    """The version of TimescaleDB in this database; None where it has none. Raises Unavailable when it can't be reached."""
    try:
        with psycopg.connect(database_url, connect_timeout=5) as connection:
            row = connection.execute(statement("timescaledb_version")).fetchone()
    except psycopg.Error as error:
        raise Unavailable(f"the database did not answer: {type(error).__name__}") from error
    return None if row is None else str(row[0])
