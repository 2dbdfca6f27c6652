"""A hub and an edge on one machine, as processes: separate Redis and NATS, one PostgreSQL, which only the hub can reach."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.integration.fronts import COMMAND, environment
from tests.integration.services import Service
from tests.servers import Databases, RedisDatabases, running
from tests.waiting import eventually

EDGE = "edge-1"


class Hub(Service):
    """`switchboard up`'s front, on the port it had each time it runs: all HTTP functions and the feed."""

    def __init__(self, settings: dict[str, str], directory: Path) -> None:
        super().__init__("front", settings, directory)
        self.command = COMMAND

    def feed_url(self, **parameters: str) -> str:
        """Where its feed is."""
        return f"ws{self.url.removeprefix('http')}/v1/feed?{urlencode(parameters)}"


@dataclass
class Clusters:
    """Two clusters. `key` is an admin's of the org `acme`."""

    hub: Hub
    door: Service  # the edge's
    logger: Service  # the edge's
    key: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def send(self, event_id: str, data: str = '{"n": 1}', at: Service | None = None, key: str | None = None) -> httpx.Response:
        """An event, through the edge's door unless another is given."""
        headers = {"ce-specversion": "1.0", "ce-id": event_id, "ce-source": "/shop", "ce-type": "order", "content-type": "application/json"}
        bearer = {"authorization": f"Bearer {key or self.key}"}
        return httpx.post(f"{(at or self.door).url}/v1/events", content=data, headers=headers | bearer, timeout=20)

    def found(self, event_id: str) -> dict[str, Any] | None:
        """The message as the hub's query has it."""
        parameters = {"source": "/shop", "event_id": event_id}
        items: list[dict[str, Any]] = self.ask("GET", "/v1/messages", params=parameters).json()["items"]
        assert len(items) <= 1
        return items[0] if items else None

    def delivery(self, event_id: str) -> dict[str, Any] | None:
        """Its delivery there."""
        found = self.found(event_id)
        return found["deliveries"][0] if found and found["deliveries"] else None

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The hub's answer, which must be good."""
        answer = httpx.request(method, f"{self.hub.url}{path}", headers=self.bearer, timeout=20, **request)
        assert answer.is_success, answer.text
        return answer

    def metrics(self) -> str:
        """The edge's door's."""
        return httpx.get(f"{self.door.url}/metrics", timeout=20).text

    def answered(self, status: int, event_id: str, data: str = '{"n": 1}', key: str | None = None) -> httpx.Response | None:
        """The answer to an event, if it has this status."""
        response = self.send(event_id, data, key=key)
        return response if response.status_code == status else None

    async def in_force(self, send: Callable[[], httpx.Response], status: int) -> tuple[float, httpx.Response]:
        """The first answer with this status, and after how many seconds the last event was sent that was judged by what held before.

        A change counts from the hub's answer to it, and an event from when it is sent: neither is how long a busy machine takes to answer.
        """
        began = stale = time.monotonic()

        def ask() -> httpx.Response | None:
            nonlocal stale
            asked = time.monotonic()
            response = send()
            if response.status_code == status:
                return response
            stale = asked
            return None

        answer = await eventually(ask)
        assert answer is not None
        return stale - began, answer

    def change(self, document: dict[str, Any]) -> int:
        """Put the org's document at the hub; its revision."""
        return int(self.ask("PUT", "/v1/config/org", json=document).headers["etag"].strip('"'))


@contextmanager
def settings_of_both(
    folder: Path, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Of the hub and of the edge, which knows no database and has a key of its own, on servers of their own for the time of the block."""
    with ExitStack() as stack:
        database = stack.enter_context(databases.temporary(migrated_template))
        edge_redis, edge_nats = (stack.enter_context(running(kind, folder / "edge-servers")) for kind in ("redis", "nats"))
        own_key = folder / "edges" / EDGE  # the edge doesn't have the install's secret
        own_key.parent.mkdir()
        own_key.write_text(secrets.token_hex(24))
        hub = environment(folder, redis_databases.fresh(), nats_url, database)
        hub |= {"SWITCHBOARD_CLUSTER": "hub", "SWITCHBOARD_EDGE_KEYS": str(own_key.parent)}
        edge = hub | {
            "SWITCHBOARD_REDIS_URL": edge_redis.url,
            "SWITCHBOARD_NATS_URL": edge_nats.url,
            "SWITCHBOARD_CLUSTER": EDGE,
            "SWITCHBOARD_STATE_DIR": str(folder / "edge"),
            "SWITCHBOARD_SECRET_FILE": str(own_key),
        }
        del edge["SWITCHBOARD_DATABASE_URL"], edge["SWITCHBOARD_EDGE_KEYS"]
        yield hub, edge
