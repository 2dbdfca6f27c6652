"""The suite of credentials in memory and on PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.credentials import MemoryCredentials
from shared.adapters.memory.registry import MemoryRegistry
from shared.adapters.postgres import PostgresConfigStore, PostgresCredentials, PostgresRegistry
from tests.conformance.credentials import CredentialsConformance


class TestMemory(CredentialsConformance):
    @pytest.fixture
    def config(self) -> MemoryConfigStore:
        return MemoryConfigStore()

    @pytest.fixture
    def credentials(self, config: MemoryConfigStore) -> MemoryCredentials:
        return MemoryCredentials(config)

    @pytest.fixture
    def registry(self, config: MemoryConfigStore, credentials: MemoryCredentials) -> MemoryRegistry:
        return MemoryRegistry(config, credentials)


class TestPostgres(CredentialsConformance):
    @pytest.fixture
    async def config(self, database: str) -> AsyncIterator[PostgresConfigStore]:
        config = PostgresConfigStore(database)
        yield config
        await config.stop()

    @pytest.fixture
    async def credentials(self, database: str) -> AsyncIterator[PostgresCredentials]:
        credentials = PostgresCredentials(database)
        yield credentials
        await credentials.stop()

    @pytest.fixture
    async def registry(self, database: str) -> AsyncIterator[PostgresRegistry]:
        registry = PostgresRegistry(database)
        yield registry
        await registry.stop()
