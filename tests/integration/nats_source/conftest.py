"""A nats-source on the run's servers, and a client as an org's agents have it: with an inbox below the org's own prefix."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError

from tests.integration.fronts import environment, new_key
from tests.integration.services import Service, serving
from tests.servers import Databases, RedisDatabases
from tests.waiting import eventually


@dataclass
class Door:
    """A running source, an org it serves, and an admin's key of it."""

    service: Service
    settings: dict[str, str]
    org: str
    key: str

    @property
    def nats(self) -> str:
        return self.settings["SWITCHBOARD_NATS_URL"]

    @property
    def database(self) -> str:
        return self.settings["SWITCHBOARD_DATABASE_URL"]


@dataclass
class Agent:
    """A NATS client of an org. `receipts` are those that came to its inbox so far."""

    client: Client
    org: str
    inbox: str
    receipts: list[dict[str, Any]] = field(default_factory=list)

    async def ask(self, topic: str, payload: bytes, headers: dict[str, str] | None = None, org: str | None = None) -> dict[str, Any]:
        """The receipt of a request."""
        answer = await self.client.request(f"request.{org or self.org}.{topic}", payload, timeout=30, headers=headers)
        receipt: dict[str, Any] = json.loads(answer.data)
        return receipt

    async def submit(self, topic: str, payload: bytes, headers: dict[str, str] | None = None) -> int:
        """Publish to the submit stream; the stream's sequence. With headers a receipt is asked for."""
        if headers is not None:
            headers = {"ce-replyto": self.inbox, **headers}
        return (await self.client.jetstream().publish(f"submit.{self.org}.{topic}", payload, headers=headers)).seq


@pytest.fixture(scope="module")
def source(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[tuple[Service, dict[str, str]]]:
    """A source for the tests of a module, on a log and a store of its own."""
    directory = tmp_path_factory.mktemp("nats-source")
    with databases.temporary(migrated_template) as database:
        settings = environment(directory, redis_databases.fresh(), nats_url, database)
        service = Service("nats_source", settings, directory)
        with serving(service):
            yield service, settings


@pytest.fixture
async def door(source: tuple[Service, dict[str, str]], org: str) -> Door:
    """The module's source, with an org of the test's own: the source comes to know of it while it runs."""
    service, settings = source
    return Door(service, settings, org, await new_key(settings["SWITCHBOARD_DATABASE_URL"], org))


@pytest.fixture
async def agent(door: Door) -> AsyncIterator[Agent]:
    """A client of the org; it begins when the org is served."""
    async with connected(door.nats, door.org) as agent:
        await served(agent)
        yield agent


class connected:  # noqa: N801  # it is called like a function
    """A client of an org, for the time of the block."""

    def __init__(self, url: str, org: str) -> None:
        self._url, self._org = url, org

    async def __aenter__(self) -> Agent:
        client = await nats.connect(self._url, inbox_prefix=f"_INBOX.{self._org}".encode(), allow_reconnect=True)
        self.agent = Agent(client, self._org, client.new_inbox())

        async def note(message: Any) -> None:
            self.agent.receipts.append(json.loads(message.data))

        await client.subscribe(self.agent.inbox, cb=note)
        await client.flush()
        return self.agent

    async def __aexit__(self, *_: object) -> None:
        await self.agent.client.close()


async def served(agent: Agent, within: float = 90.0) -> None:
    """Returns once the org's requests are answered."""

    async def answered() -> bool:
        try:
            await agent.ask("none", b"no event")
        except NoRespondersError:
            return False
        return True

    await eventually(answered, within)


def event(id: str, **more: object) -> bytes:
    """A structured event."""
    return json.dumps({"specversion": "1.0", "id": id, "source": "/shop", "type": "order", "data": {"sku": "a"}, **more}).encode()


def headers(id: str, **more: str) -> dict[str, str]:
    """The headers of a binary event."""
    found = {"ce-specversion": "1.0", "ce-id": id, "ce-source": "/shop", "ce-type": "order", "ce-datacontenttype": "application/json"}
    return {**found, **{f"ce-{name}": value for name, value in more.items()}}
