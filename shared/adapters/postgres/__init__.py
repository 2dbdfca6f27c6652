"""PostgreSQL, with TimescaleDB or without: the store of messages and of config. Its SQL is in sql/ and migrations/."""

from typing import TYPE_CHECKING

from shared.lean_import import lean, names_of

if TYPE_CHECKING:
    from shared.adapters.postgres.config_store import PostgresConfigStore
    from shared.adapters.postgres.credentials import PostgresCredentials
    from shared.adapters.postgres.leases import PostgresLeases
    from shared.adapters.postgres.message_store import PostgresMessageStore
    from shared.adapters.postgres.registry import PostgresRegistry

__all__ = ["PostgresConfigStore", "PostgresCredentials", "PostgresLeases", "PostgresMessageStore", "PostgresRegistry"]

with lean(late=("ctypes", "ctypes.util")):  # for who looks for a libpq; the wheel brings its own
    import psycopg as psycopg

# Each is imported by who wants it: a door waits for the config, and asks nothing else of the database.
__getattr__ = names_of(
    __name__,
    {
        "config_store": ("PostgresConfigStore",),
        "credentials": ("PostgresCredentials",),
        "leases": ("PostgresLeases",),
        "message_store": ("PostgresMessageStore",),
        "registry": ("PostgresRegistry",),
    },
)
