"""Snapshots, and what the store remembers, as an edge asks the hub for them: the same suites as where the store is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.adapters.hub import HubConfig, HubKnown
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.adapters.postgres import PostgresConfigStore, PostgresMessageStore
from tests.conformance.config_source import ConfigSourceConformance
from tests.conformance.hub import config_hub, store_hub
from tests.conformance.known import KnownConformance


class TestConfigInMemory(ConfigSourceConformance):
    @pytest.fixture
    def config(self) -> MemoryConfigStore:
        return MemoryConfigStore()

    @pytest.fixture
    def source(self, config: MemoryConfigStore) -> MemoryConfigStore:
        return config


class TestConfigOnPostgres(ConfigSourceConformance):
    @pytest.fixture
    async def config(self, database: str) -> AsyncIterator[PostgresConfigStore]:
        config = PostgresConfigStore(database)
        yield config
        await config.stop()

    @pytest.fixture
    def source(self, config: PostgresConfigStore) -> PostgresConfigStore:
        return config


class TestConfigAtTheHub(TestConfigOnPostgres):
    @pytest.fixture
    async def source(self, config: PostgresConfigStore, tmp_path: Path) -> AsyncIterator[HubConfig]:
        async with config_hub(config, tmp_path) as calls:
            yield HubConfig(calls, "edge")

    async def test_home_is_the_edges_own_whatever_the_hub_s_is(self, source: HubConfig) -> None:
        assert (await source.snapshot()).home == "edge"


class TestKnownInMemory(KnownConformance):
    @pytest.fixture
    def store(self) -> MemoryMessageStore:
        return MemoryMessageStore()

    @pytest.fixture
    def known(self, store: MemoryMessageStore) -> MemoryMessageStore:
        return store


class TestKnownOnPostgres(KnownConformance):
    @pytest.fixture
    async def store(self, database: str) -> AsyncIterator[PostgresMessageStore]:
        store = PostgresMessageStore(database)
        yield store
        await store.stop()

    @pytest.fixture
    def known(self, store: PostgresMessageStore) -> PostgresMessageStore:
        return store


class TestKnownAtTheHub(TestKnownOnPostgres):
    @pytest.fixture
    async def known(self, store: PostgresMessageStore, tmp_path: Path) -> AsyncIterator[HubKnown]:
        async with store_hub(store, tmp_path) as calls:
            yield HubKnown(calls)
