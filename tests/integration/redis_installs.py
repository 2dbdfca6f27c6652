"""The Redis door as a process, and an org's agent that knows nothing but LPUSH and BLPOP."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis

from tests.integration.fronts import environment, new_key
from tests.integration.services import Service, serving

ORG = "door"  # four letters: the corpus counts on that


class Client:
    """An org's agent: it may touch the org's lists."""

    def __init__(self, url: str, org: str = ORG) -> None:
        self.redis = connected(url)
        self.org, self.number = org, 0

    def go_to(self, url: str) -> None:
        """Another server from now on."""
        self.redis.close()
        self.redis = connected(url)

    def key(self, kind: str) -> str:
        return f"sb:{kind}:{{{self.org}}}"

    def push(self, *elements: bytes) -> None:
        self.redis.lpush(self.key("submit"), *elements)

    def place(self) -> str:
        """A list for receipts that nobody used before."""
        self.number += 1
        return f"{self.key('receipts')}:{self.number}"

    def receipts(self, place: str, count: int = 1, within: int = 90) -> list[dict[str, Any]]:
        """So many receipts, in order."""
        found: list[dict[str, Any]] = []
        for _ in range(count):
            popped = self.redis.blpop(place, timeout=within)
            assert popped is not None, f"{len(found)} of {count} receipts came"
            found.append(json.loads(popped[1]))
        return found

    def rejected(self) -> dict[str, Any]:
        """The next rejection."""
        popped = self.redis.blpop(self.key("rejected"), timeout=60)
        assert popped is not None
        entry: dict[str, Any] = json.loads(popped[1])
        return entry

    def sent(self, id: str = "e1", **more: object) -> dict[str, Any]:
        """The receipt of one event."""
        place = self.place()
        self.push(json.dumps(event(id, replyto=place, **more)).encode())
        return self.receipts(place)[0]

    def empty(self) -> bool:
        """Whether the door has let go of everything."""
        return not self.redis.exists(self.key("submit")) and not self.redis.keys(f"sb:door:{{{self.org}}}:taken:*")


def connected(url: str) -> Any:
    """A client of Redis. BLPOP has a time of its own: the default of 5 s would end it while a dead worker's list waits to be taken
    over."""
    return redis.Redis.from_url(url, socket_timeout=None)


def event(id: str = "e1", **more: object) -> dict[str, object]:
    return {"specversion": "1.0", "id": id, "source": "/agent", "type": "door.test", "data": {"n": 1}, **more}


class Running:
    """The door with its surroundings."""

    def __init__(self, settings: dict[str, str], directory: Path, door_url: str) -> None:
        self.settings, self.door_url = settings, door_url
        self.door = Service("redis_source", settings, directory)
        self.client = Client(door_url)
        self.http = httpx.Client(timeout=60)  # one for all: each new one reads the machine's certificates

    def metric(self, name: str) -> float:
        text = self.http.get(f"{self.door.url}/metrics").text
        return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(f"switchboard_{name} ")))

    def accepted(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings["SWITCHBOARD_DATABASE_URL"]) as connection:
            return connection.execute("SELECT event_id, door, principal, org FROM messages WHERE verdict = 'accepted'").fetchall()


@contextmanager
def install(directory: Path, log: str, door_url: str, nats: str, database: str, org: str = ORG, **more: str) -> Iterator[Running]:
    """A door on these servers, whose config has one org."""
    settings = environment(directory, log, nats, database) | {"SWITCHBOARD_REDIS_DOOR_URL": door_url} | more
    asyncio.run(new_key(database, org, "admin"))
    running = Running(settings, directory, door_url)
    with closing(running.client.redis), serving(running.door), running.http:
        yield running
