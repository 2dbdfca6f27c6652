"""The Backbones suite through the route Service: a process of its own, between the caller and NATS."""

from collections.abc import AsyncIterator, Iterator

import pytest

from shared.ports import Backbones
from shared.stages import events as wire
from shared.stages.calls import Calls, EventCalls
from shared.stages.route import RemoteBackbones
from tests.conformance.backbones import BackbonesConformance, Stage, Stored
from tests.integration.fronts import environment
from tests.integration.services import Service, serving
from tests.nats_streams import read_stream
from tests.servers import Databases

SECRET = b"s" * 48  # tests.integration.fronts.environment writes it


@pytest.fixture(scope="module")
def route(tmp_path_factory: pytest.TempPathFactory, nats_url: str, databases: Databases, migrated_template: str) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("route")
    with databases.temporary(migrated_template) as database:
        service = Service("route", environment(directory, "redis://127.0.0.1:1/0", nats_url, database), directory)
        with serving(service):
            yield service


class RouteStage:
    def __init__(self, url: str, backbones: Backbones) -> None:
        self._url = url
        self.backbones = backbones

    async def stored(self, org: str) -> list[Stored]:
        return await read_stream(self._url, org)


class TestRouteService(BackbonesConformance):
    @pytest.fixture
    async def stage(self, route: Service, nats_url: str) -> AsyncIterator[Stage]:
        events = EventCalls(
            Calls("route", route.url, 20), (SECRET,), "/clusters/local/test", wire.ACCEPTED, (wire.DELIVERED, wire.UNDELIVERABLE)
        )
        backbones = RemoteBackbones(events)
        yield RouteStage(nats_url, backbones)
        await backbones.close()
