"""The leases' suite in memory and on PostgreSQL, and what only a server can show."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.adapters.memory.leases import MemoryLeases
from shared.adapters.postgres import PostgresLeases
from tests.conformance.leases import LeasesConformance


class TestMemory(LeasesConformance):
    @pytest.fixture
    def rows(self) -> dict[str, tuple[str, float]]:
        return {}

    @pytest.fixture
    def one(self, rows: dict[str, tuple[str, float]]) -> MemoryLeases:
        return MemoryLeases(rows, "one")

    @pytest.fixture
    def other(self, rows: dict[str, tuple[str, float]]) -> MemoryLeases:
        return MemoryLeases(rows, "other")


class TestPostgres(LeasesConformance):
    @pytest.fixture
    async def one(self, database: str) -> AsyncIterator[PostgresLeases]:
        leases = PostgresLeases(database, "one")
        yield leases
        await leases.stop()

    @pytest.fixture
    async def other(self, database: str) -> AsyncIterator[PostgresLeases]:
        leases = PostgresLeases(database, "other")
        yield leases
        await leases.stop()

    async def test_each_name_has_one_holder_when_many_want_all_at_once(self, one: PostgresLeases, other: PostgresLeases) -> None:
        names = [f"name-{number}" for number in range(200)]
        for _ in range(5):
            ours, theirs = await asyncio.gather(one.hold(names, 60), other.hold(list(reversed(names)), 60))
            assert not ours & theirs
            assert ours | theirs == set(names)
            await asyncio.gather(one.release(names), other.release(names))
