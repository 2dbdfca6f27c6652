"""The config store's suite in memory and on PostgreSQL, and what only a server can show."""

import os
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.postgres import PostgresConfigStore
from shared.adapters.postgres.keys import ensure_admin_key, hash_of
from shared.adapters.postgres.migrations import FOLDER, migrate, names
from shared.domain.errors import NotFound, Unavailable
from shared.domain.principal import Grant, Principal
from shared.domain.sessions import Session
from tests.conformance.config_history import ConfigHistoryConformance
from tests.conformance.config_source import session_of
from tests.conformance.config_store import READER, ConfigStoreConformance, coming
from tests.servers import LocalServer


class TestMemory(ConfigStoreConformance, ConfigHistoryConformance):
    @pytest.fixture
    def config(self) -> MemoryConfigStore:
        return MemoryConfigStore()


class TestPostgres(ConfigStoreConformance, ConfigHistoryConformance):
    @pytest.fixture
    async def config(self, database: str) -> AsyncIterator[PostgresConfigStore]:
        config = PostgresConfigStore(database)
        await config.start()
        yield config
        await config.stop()

    async def test_who_did_what_is_in_the_audit_when_config_changed(self, config: PostgresConfigStore, database: str, org: str) -> None:
        revision = await config.put_principal(Principal("shop", org, READER), "boss", "new shop")
        key_id, _ = await config.create_key(org, "shop", "boss")
        await config.delete_key(org, "shop", key_id, "boss")
        with psycopg.connect(database) as connection:
            rows = connection.execute(
                "SELECT org, principal, action, path, revision_before, revision_after, reason FROM audit ORDER BY revision_after"
            ).fetchall()
        assert rows == [
            (org, "boss", "principal.put", "principals/shop", revision - 1, revision, "new shop"),
            (org, "boss", "key.create", f"principals/shop/keys/{key_id}", revision, revision + 1, ""),
            (org, "boss", "key.delete", f"principals/shop/keys/{key_id}", revision + 1, revision + 2, ""),
        ]

    async def test_session_is_forgotten_when_nobody_would_take_it_anyway(self, config: PostgresConfigStore, org: str) -> None:
        lasting = await session_of(config, org)
        await config.end_session(Session(lasting.key, int(time.time()) - 4000, bytes(16)))
        await config.end_session(lasting)
        await config.put_principal(Principal("shop", org, ()), "me")
        assert (await config.snapshot()).ended == {lasting.id: lasting.expires}

    async def test_key_is_nowhere_in_the_database_when_it_was_created(self, config: PostgresConfigStore, database: str, org: str) -> None:
        await config.put_principal(Principal("shop", org, ()), "me")
        _, key = await config.create_key(org, "shop", "me")
        with psycopg.connect(database) as connection:
            for table in ("api_keys", "audit", "principals", "config_state"):
                with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as stream:
                    assert key[3:].encode() not in b"".join(bytes(piece) for piece in stream)


async def test_snapshots_come_again_when_the_store_was_down(own_database: LocalServer) -> None:
    migrate(own_database.url)
    config = PostgresConfigStore(own_database.url)
    changes = config.changes()
    try:
        first = await coming(changes)
        own_database.kill()
        with pytest.raises(Unavailable):
            await config.snapshot()
        own_database.start()
        revision = await config.put_principal(Principal("shop", "acme", ()), "me")
        assert revision == first.revision + 1
        assert (await coming(changes, within=30)).revision == revision
    finally:
        await changes.aclose()  # type: ignore[attr-defined]  # it is a generator
        await config.stop()


async def test_change_is_heard_of_before_the_next_look_is_due(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.adapters.postgres.config_store.POLL", 3600.0)
    config, other = PostgresConfigStore(database), PostgresConfigStore(database)
    changes = config.changes()
    try:
        await coming(changes, within=30)
        for name in ("shop", "till"):
            revision = await other.put_principal(Principal(name, "acme", ()), "me")
            assert (await coming(changes, within=30)).revision == revision
    finally:
        await changes.aclose()  # type: ignore[attr-defined]  # it is a generator
        await config.stop()
        await other.stop()


async def test_admin_key_is_made_once_when_it_is_asked_for_again(database: str, tmp_path: Path) -> None:
    path = tmp_path / "state" / "admin.key"
    ensure_admin_key(database, path)
    key = path.read_text().strip()
    ensure_admin_key(database, path)
    assert path.read_text().strip() == key
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    config = PostgresConfigStore(database)
    assert (await config.snapshot()).principal_of(key) == Principal("admin", "default", (Grant("admin"),), system=True)
    await config.stop()


@pytest.mark.parametrize("left", [None, "sb_of-another-store"])
async def test_admin_key_is_made_anew_when_its_file_is_gone_or_of_another_store(database: str, tmp_path: Path, left: str | None) -> None:
    path = tmp_path / "admin.key"
    ensure_admin_key(database, path)
    first = path.read_text()
    path.unlink() if left is None else path.write_text(left)
    ensure_admin_key(database, path)
    config = PostgresConfigStore(database)
    snapshot = await config.snapshot()
    assert all(snapshot.principal_of(key.strip()) for key in (first, path.read_text()))
    await config.stop()


async def test_principals_and_keys_are_in_force_when_they_are_older_than_the_history(plain_database: str) -> None:
    with psycopg.connect(plain_database) as connection:
        for name in names()[:3]:
            connection.execute((FOLDER / f"{name}.sql").read_bytes())
        connection.execute("UPDATE config_state SET revision = 7")
        connection.execute("INSERT INTO principals (org, name, grants, system) VALUES ('acme', 'shop', '[{\"action\": \"read\"}]', false)")
        connection.execute(
            "INSERT INTO api_keys (id, hash, org, principal, author) VALUES ('k_1', %s, 'acme', 'shop', 'me')", [hash_of("sb_old")]
        )
        connection.execute(
            "INSERT INTO audit (record_id, time, org, principal, action, path, revision_before, revision_after) "
            "VALUES (gen_random_uuid(), now(), 'acme', 'me', 'key.create', 'principals/shop/keys/k_1', 6, 7)"
        )
    migrate(plain_database)
    config = PostgresConfigStore(plain_database)
    try:
        snapshot = await config.snapshot()
        assert (snapshot.revision, snapshot.principal_of("sb_old")) == (7, Principal("shop", "acme", (Grant("read"),)))
        assert await config.principal_version("acme", "shop") == (Principal("shop", "acme", (Grant("read"),)), 7)
        assert [(one.revision, one.path) for one in await config.revisions("acme", 5)] == [(7, "principals/shop/keys/k_1")]
        assert [one.org for one in await config.orgs()] == ["acme"]
        with pytest.raises(NotFound):
            await config.snapshot(6)
        assert await config.documents("acme", 3) == {}
        await config.delete_principal("acme", "shop", "me")
        assert await config.snapshot(7) == snapshot
    finally:
        await config.stop()
