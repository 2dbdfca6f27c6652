"""Fixtures that give real servers: started once a run, when the first test asks for one, and a corner of its own for each test.

| Fixture | Gives |
|---|---|
| `redis_url` | a logical Redis database of its own, empty |
| `nats_url` | the run's NATS server with JetStream (domain `local`): tests keep apart by `org` |
| `database` | a migrated database of its own |
| `timescale_database`, `plain_database` | a database of its own with and without TimescaleDB, not migrated |
| `org` | an org nobody else uses |
| `own_redis`, `own_nats`, `own_database` | a server of its own, to kill, pause and start again |
"""

import secrets
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import httpx
import pytest
from hypothesis import settings

from tests.memory import in_memory, temporary_in_memory
from tests.missing import missing
from tests.patience import patient
from tests.servers import Databases, LocalServer, RedisDatabases, add_timescaledb, running

# How long one example takes is the machine's business: Hypothesis' own deadline, 200 ms, failed a test that was right while others worked.
settings.register_profile("switchboard", deadline=None)
settings.load_profile("switchboard")


def pytest_configure() -> None:
    temporary_in_memory()


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """httpx reads the machine's certificates anew for each client and each call without one: 35 ms of CPU, thousands of times a run, while
    servers under test wait for the core. What a test itself says of `verify` stays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", cache(httpx.create_ssl_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def clients_have_patience() -> Iterator[None]:
    """Those of the tests themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patient(patch)
        yield


@pytest.fixture(scope="session")
def servers_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of the run's servers."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def redis_server(servers_directory: Path) -> Iterator[LocalServer]:
    """The run's Valkey. Prefer `redis_url`."""
    with running("redis", servers_directory) as server:
        yield server


@pytest.fixture(scope="session")
def nats_server(servers_directory: Path) -> Iterator[LocalServer]:
    """The run's NATS server. Prefer `nats_url`."""
    with running("nats", servers_directory) as server:
        yield server


@pytest.fixture(scope="session")
def database_server(servers_directory: Path) -> Iterator[LocalServer]:
    """The run's PostgreSQL. Prefer `database`."""
    with running("database", servers_directory) as server:
        yield server


@pytest.fixture(scope="session")
def redis_databases(redis_server: LocalServer) -> RedisDatabases:
    return RedisDatabases(redis_server.url)


@pytest.fixture
def redis_url(redis_databases: RedisDatabases) -> str:
    """A logical Redis database of the test's own, empty."""
    return redis_databases.fresh()


@pytest.fixture(scope="session")
def nats_url(nats_server: LocalServer) -> str:
    """The run's NATS server, with its credentials."""
    return nats_server.url


@pytest.fixture(scope="session")
def database_url(database_server: LocalServer) -> str:
    """The run's PostgreSQL, with its credentials; its database is shared, and not migrated."""
    return database_server.url


@pytest.fixture(scope="session")
def databases(database_url: str, servers_directory: Path) -> Databases:
    return Databases(database_url, "file_copy" if in_memory(servers_directory) else "wal_log")


@pytest.fixture(scope="session")
def migrated_template(databases: Databases) -> Iterator[str]:
    """The name of a migrated database that nobody connects to, so that it can be copied."""
    from shared.adapters.postgres.migrations import migrate

    name = databases.create()
    add_timescaledb(databases.url_of(name))
    migrate(databases.url_of(name))
    databases.close(name)
    yield name
    databases.drop(name)


@pytest.fixture
def database(databases: Databases, migrated_template: str) -> Iterator[str]:
    """The URL of a migrated database of the test's own."""
    with databases.temporary(migrated_template) as url:
        yield url


@pytest.fixture
def timescale_database(databases: Databases) -> Iterator[str]:
    """The URL of an empty database of the test's own, with TimescaleDB. Skipped, and counted, where the machine can't have it."""
    with databases.temporary() as url:
        if not add_timescaledb(url):
            missing("no TimescaleDB on this machine: it comes from Debian's packages")
        yield url


@pytest.fixture
def plain_database(databases: Databases) -> Iterator[str]:
    """The URL of an empty database of the test's own, without TimescaleDB in it."""
    with databases.temporary() as url:
        yield url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[LocalServer]:
    """A Valkey of the test's own, to kill, pause and start again."""
    with running("redis", tmp_path) as server:
        yield server


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[LocalServer]:
    """A NATS server of the test's own, to kill, pause and start again."""
    with running("nats", tmp_path) as server:
        yield server


@pytest.fixture
def own_database(tmp_path: Path) -> Iterator[LocalServer]:
    """A PostgreSQL of the test's own, to kill, pause and start again."""
    with running("database", tmp_path) as server:
        yield server


@pytest.fixture
def org() -> str:
    """An org nobody else uses: what keeps tests apart on a shared server."""
    return f"t-{secrets.token_hex(5)}"
