"""One front for all tests of a module that only speak HTTP to it."""

import secrets
import string
from collections.abc import Iterator

import pytest

from tests.integration.fronts import FrontProcess, environment, fronting
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
