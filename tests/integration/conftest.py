"""The log and the store on the run's servers, a corner of their own for each test; and one front for the tests of a module."""

import secrets
import string
from collections.abc import AsyncIterator, Iterator
from typing import Any

import nats
import pytest
import redis
from nats.aio.client import Client

from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.postgres import PostgresMessageStore
from shared.adapters.redis.log_queue import RedisLogQueue
from tests.integration.fronts import FrontProcess, environment, fronting
from tests.integration.installs import Install, installed
from tests.nats_streams import connected
from tests.servers import Databases, RedisDatabases

LETTERS = string.ascii_lowercase + string.digits


@pytest.fixture(scope="module")
def front(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[FrontProcess]:
    """A front on the run's servers, with an org and a database of the module's own. The org has four letters: the corpus counts on that."""
    directory = tmp_path_factory.mktemp("front")
    with databases.temporary(migrated_template) as database:
        settings = environment(directory, redis_databases.fresh(), nats_url, database)
        with fronting(directory, settings, "".join(secrets.choice(LETTERS) for _ in range(4))) as running:
            yield running


@pytest.fixture(scope="module")
def install(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[Install]:
    """Two fronts and a logger on the run's servers, with a database of the module's own."""
    directories = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    with (
        databases.temporary(migrated_template) as database,
        installed(directories, redis_databases.fresh(), nats_url, database) as running,
    ):
        yield running


@pytest.fixture
async def backbones(nats_url: str) -> AsyncIterator[NatsBackbones]:
    """The home backbone, as a door has it."""
    async with connected(nats_url) as found:
        yield found


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    """An operator's connection, not ours."""
    client = await nats.connect(nats_url)
    yield client
    await client.close()


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[RedisLogQueue]:
    """The door's side of an empty log."""
    queue = RedisLogQueue(redis_url)
    await queue.start()
    yield queue
    await queue.stop()


@pytest.fixture
def server(redis_url: str) -> Iterator[Any]:
    """A client of the log's Redis, to look at what is there."""
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresMessageStore]:
    """The store on a migrated database."""
    store = PostgresMessageStore(database)
    await store.start()
    yield store
    await store.stop()
