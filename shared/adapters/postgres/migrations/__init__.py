"""The store's schema, as numbered .sql files applied in order by yoyo. Never change one that was released: add another."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import parse_uri
from yoyo.migrations import Migration, MigrationList, default_migration_table

from shared.domain.errors import Misconfigured, Unavailable

FOLDER = Path(__file__).parent
LOCK = b"SELECT pg_advisory_lock(hashtextextended('switchboard migrations', 0))"
APPLIED = b"SELECT migration_id FROM _yoyo_migration"

# yoyo says at INFO what it applies, and is silent otherwise; that is for whoever turns it on.
logging.getLogger("yoyo.migrations").setLevel(logging.WARNING)


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """yoyo's own, but connected by libpq's reading of the URL, and without a look at the machine's user and host names: a container's
    uid may have no name, and a resolver may take its time."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        super().__init__(parse_uri(database_url), default_migration_table)

    def connect(self, dburi: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self._database_url, autocommit=True)

    def copy(self) -> "_Backend":
        return _Backend(self._database_url)

    def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, Any]:
        entry = {"migration_id": migration and migration.id, "migration_hash": migration and migration.hash, "operation": operation}
        when = self.execute("SELECT gen_random_uuid()::text, current_user, now() AT TIME ZONE 'UTC'").fetchone()
        return {**entry, "id": when[0], "username": when[1], "hostname": "", "created_at_utc": when[2]}


def migrate(database_url: str) -> None:
    """Bring the schema up to date. Any number of processes may call it at once: one applies, the others wait and find it done.

    Raises Unavailable when the database can't be reached, Misconfigured when a migration fails (it is rolled back as a whole).
    """
    with _connected(database_url) as connection:
        if not _missing(connection):
            return
        connection.execute(LOCK)
        if not _missing(connection):
            return
        try:
            _apply(database_url)
        except psycopg.OperationalError as error:
            raise Unavailable(f"the database went away during a migration: {error}") from error
        except psycopg.Error as error:
            raise Misconfigured(f"a migration of the database failed: {error}") from error
        if missing := _missing(connection):
            raise Misconfigured(f"these migrations could not be read: {', '.join(missing)}")


def pending(database_url: str) -> list[str]:
    """The names of the migrations that the database lacks, in order. Raises Unavailable when it can't be reached."""
    with _connected(database_url) as connection:
        return _missing(connection)


def names() -> list[str]:
    """The names of all migrations, in order."""
    return [path.stem for path in _files()]


def _files() -> list[Path]:
    return sorted(FOLDER.glob("*.sql"))


@contextmanager
def _connected(database_url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    try:
        connection = psycopg.connect(database_url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise Unavailable("the database can't be reached") from error
    with connection:  # closing it gives the lock back, whatever happened
        yield connection


def _missing(connection: psycopg.Connection[tuple[Any, ...]]) -> list[str]:
    row = connection.execute("SELECT to_regclass('_yoyo_migration')").fetchone()
    if row is None or row[0] is None:
        return names()
    applied = {name for (name,) in connection.execute(APPLIED)}
    return [name for name in names() if name not in applied]


def _apply(database_url: str) -> None:
    """Let yoyo apply what is missing. The caller holds the lock, so that a row in yoyo's own lock table is of a process that died."""
    with _Backend(database_url) as backend:
        backend.init_database()
        backend.break_lock()
        backend.apply_migrations(backend.to_apply(MigrationList([Migration(path.stem, str(path), str(FOLDER)) for path in _files()])))
