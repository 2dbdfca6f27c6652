"""PostgreSQL, with TimescaleDB or without: the store of messages and of config. Its SQL is in sql/ and migrations/."""

from shared.adapters.postgres.config_store import PostgresConfigStore
from shared.adapters.postgres.credentials import PostgresCredentials
from shared.adapters.postgres.leases import PostgresLeases
from shared.adapters.postgres.message_store import PostgresMessageStore
from shared.adapters.postgres.registry import PostgresRegistry

__all__ = ["PostgresConfigStore", "PostgresCredentials", "PostgresLeases", "PostgresMessageStore", "PostgresRegistry"]
