"""The registry's suite in memory and on PostgreSQL, and what only a server can show."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.registry import MemoryRegistry
from shared.adapters.postgres import PostgresConfigStore, PostgresRegistry
from shared.domain.registry.deciding import Change
from shared.domain.revisions import Stale
from tests.conformance.registry import RegistryConformance, added, backbone, cluster


class TestMemory(RegistryConformance):
    @pytest.fixture
    def config(self) -> MemoryConfigStore:
        return MemoryConfigStore()

    @pytest.fixture
    def registry(self, config: MemoryConfigStore) -> MemoryRegistry:
        return MemoryRegistry(config)


class TestPostgres(RegistryConformance):
    @pytest.fixture
    async def config(self, database: str) -> AsyncIterator[PostgresConfigStore]:
        config = PostgresConfigStore(database)
        await config.start()
        yield config
        await config.stop()

    @pytest.fixture
    async def registry(self, database: str) -> AsyncIterator[PostgresRegistry]:
        registry = PostgresRegistry(database)
        await registry.start()
        yield registry
        await registry.stop()

    async def test_change_is_in_the_audit_when_it_was_made(self, registry: PostgresRegistry, database: str, org: str) -> None:
        revision, _ = await added(registry, cluster(org), backbone(org))
        with psycopg.connect(database) as connection:
            rows = connection.execute(
                "SELECT org, principal, action, path, revision_after, reason FROM audit ORDER BY revision_after"
            ).fetchall()
        assert rows == [
            (org, "boss", "add", "clusters/eu", revision, "why"),
            (org, "boss", "add", "backbones/main-0a", revision + 1, "why"),
        ]

    async def test_one_of_many_wins_when_they_change_the_same_at_once(self, registry: PostgresRegistry, org: str) -> None:
        [number] = await added(registry, cluster(org))
        changes = [registry.write(Change("put", cluster(org, region=f"r{n}"), number), "boss") for n in range(8)]
        outcomes = await asyncio.gather(*changes, return_exceptions=True)
        assert sum(isinstance(one, Stale) for one in outcomes) == 7
        assert sum(not isinstance(one, BaseException) for one in outcomes) == 1
