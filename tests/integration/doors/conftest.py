"""Every door of an install, open for the tests of a module."""

import secrets
from collections.abc import Iterator

import pytest

from tests.integration.conftest import LETTERS
from tests.integration.doors.doors import House
from tests.integration.fronts import environment, fronting
from tests.integration.services import Service, serving
from tests.servers import Databases, RedisDatabases


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[House]:
    """A front, with an org, a log and a database of the module's own. The org has four letters, for the corpus."""
    directory, log = tmp_path_factory.mktemp("house"), redis_databases.fresh()
    with databases.temporary(migrated_template) as database:
        settings = environment(directory, log, nats_url, database)
        org = "".join(secrets.choice(LETTERS) for _ in range(4))
        sources = [Service(name, settings, directory) for name in ("nats_source", "redis_source")]
        with fronting(directory, settings, org) as front, serving(*sources):
            yield House(front, sources, log, nats_url)
