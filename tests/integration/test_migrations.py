"""The store's schema: made once, by however many processes, with TimescaleDB and without."""

import subprocess
import sys

import psycopg
import pytest

from shared.adapters.postgres.migrations import migrate, names, pending
from shared.domain.errors import Unavailable

MIGRATE = "import sys; from shared.adapters.postgres.migrations import migrate; migrate(sys.argv[1])"


def kinds(url: str) -> dict[str, str]:
    """How the tables are stored: `p` is a natively partitioned one, `r` any other (a hypertable is one)."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT relname, relkind::text FROM pg_class WHERE relname IN ('messages', 'message_keys', 'deliveries')")
        return dict(rows.fetchall())


def test_schema_is_made_once_when_five_processes_start_at_once(plain_database: str) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", MIGRATE, plain_database]) for _ in range(5)]
    assert [process.wait(60) for process in processes] == [0] * 5
    assert pending(plain_database) == []
    with psycopg.connect(plain_database) as connection:
        applied = connection.execute("SELECT migration_id FROM _yoyo_log WHERE operation = 'apply' ORDER BY created_at_utc").fetchall()
    assert [name for (name,) in applied] == names()


def test_hypertables_are_made_when_timescaledb_is_there(timescale_database: str) -> None:
    migrate(timescale_database)
    with psycopg.connect(timescale_database) as connection:
        hypertables = connection.execute("SELECT hypertable_name FROM timescaledb_information.hypertables ORDER BY 1").fetchall()
    assert hypertables == [("deliveries",), ("messages",)]
    assert kinds(timescale_database)["message_keys"] == "p"


def test_native_partitions_are_made_when_timescaledb_is_not_there(plain_database: str) -> None:
    migrate(plain_database)
    assert kinds(plain_database) == {"messages": "p", "message_keys": "p", "deliveries": "p"}


def test_everything_is_pending_when_the_database_is_new(plain_database: str) -> None:
    assert pending(plain_database) == names()


def test_migrations_apply_when_one_died_between_applying_and_noting_it(plain_database: str) -> None:
    migrate(plain_database)
    with psycopg.connect(plain_database, autocommit=True) as connection:
        connection.execute("DELETE FROM _yoyo_migration")
        connection.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")  # what a killed yoyo leaves
    migrate(plain_database)
    assert pending(plain_database) == []


def test_database_is_unavailable_when_nothing_listens() -> None:
    with pytest.raises(Unavailable):
        migrate("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable):
        pending("postgresql://nobody@127.0.0.1:1/none")
