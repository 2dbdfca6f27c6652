"""Two workers of a door, one of which is told to stop under load, or only paused and then goes on: each message counts once."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
import redis.asyncio

from tests.faults import ledger
from tests.integration.fronts import environment, new_key
from tests.integration.services import Service, serving
from tests.waiting import eventually

COUNT = 2_000
SOME = 200  # of which one of the two has had its share, and holds more


class Redis:
    """LPUSH, and the receipts in a list."""

    name = "redis_source"

    def __init__(self, settings: dict[str, str], org: str) -> None:
        self._url = settings["SWITCHBOARD_REDIS_URL"]
        self._submit, self._place = f"sb:submit:{{{org}}}", f"sb:receipts:{{{org}}}:takeover"
        self._held = f"sb:door:{{{org}}}:taken:*"

    async def __aenter__(self) -> "Redis":
        self._client: Any = redis.asyncio.Redis.from_url(self._url, socket_timeout=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ready(self) -> bool:
        return True

    async def send(self, numbers: range) -> None:
        await self._client.lpush(self._submit, *(event(number, replyto=self._place) for number in numbers))

    async def told(self) -> list[dict[str, Any]]:
        return [json.loads(receipt) for receipt in await self._client.lrange(self._place, 0, -1)]

    async def over(self) -> bool:
        """Whether nobody holds anything, and nothing waits."""
        return not await self._client.exists(self._submit) and not await self._client.keys(self._held)


class Nats:
    """Publishing on the submit stream, and the receipts in an inbox."""

    name = "nats_source"

    def __init__(self, settings: dict[str, str], org: str) -> None:
        self._url, self._org = settings["SWITCHBOARD_NATS_URL"], org
        self._receipts: list[dict[str, Any]] = []

    async def __aenter__(self) -> "Nats":
        self._client = await nats.connect(self._url, inbox_prefix=f"_INBOX.{self._org}".encode())
        self._inbox = self._client.new_inbox()

        async def note(message: Any) -> None:
            self._receipts.append(json.loads(message.data))

        await self._client.subscribe(self._inbox, cb=note, pending_msgs_limit=-1, pending_bytes_limit=-1)
        await self._client.flush()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def ready(self) -> bool:
        return any(stream.config.name == f"sb-submit-{self._org}" for stream in await self._client.jetstream().streams_info())

    async def send(self, numbers: range) -> None:
        for number in numbers:
            await self._client.publish(f"submit.{self._org}.takeover", event(number, replyto=self._inbox))
        await self._client.flush()

    async def told(self) -> list[dict[str, Any]]:
        return self._receipts

    async def over(self) -> bool:
        """Whether the stream is empty."""
        return (await self._client.jetstream().stream_info(f"sb-submit-{self._org}")).state.messages == 0


Door = Redis | Nats


def event(number: int, **more: object) -> bytes:
    attributes = {"specversion": "1.0", "id": f"e{number}", "source": f"/source/{number % 8}", "type": "takeover.test", "topic": "takeover"}
    return json.dumps(attributes | {"data": number} | more).encode()


@contextmanager
def two(door: Door, settings: dict[str, str], directory: Path) -> Iterator[tuple[Service, Service]]:
    """Two workers of the door, and the logger behind them."""
    first, second = (Service(door.name, settings, directory) for _ in range(2))
    with serving(Service("logger", settings, directory), first, second):
        yield first, second


async def counted(door: Door, at_least: int) -> list[dict[str, Any]]:
    """The receipts so far, if there are so many."""
    found = await door.told()
    return found if len(found) >= at_least else []


@pytest.fixture
async def settings(tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str) -> dict[str, str]:
    await new_key(database, org)
    return environment(tmp_path, redis_url, nats_url, database)


@pytest.mark.parametrize("kind", [Redis, Nats])
async def test_every_message_has_one_receipt_when_one_of_two_workers_is_told_to_stop(
    kind: type[Door], settings: dict[str, str], tmp_path: Path, org: str
) -> None:
    async with kind(settings, org) as door:
        with two(door, settings, tmp_path) as (first, _):
            await eventually(door.ready, within=30)
            await door.send(range(COUNT))
            await eventually(lambda: counted(door, SOME), within=60)
            assert await asyncio.to_thread(first.stop) == 0
            receipts = await eventually(lambda: counted(door, COUNT), within=60)
            await eventually(door.over, within=60)
            assert len(await door.told()) == COUNT
    assert Counter(receipt["status"] for receipt in receipts) == {"accepted": COUNT}
    assert len({receipt["id"] for receipt in receipts}) == COUNT
    assert not any(receipt["duplicate"] for receipt in receipts)


@pytest.mark.parametrize("kind", [Redis, Nats])
async def test_every_message_has_one_row_when_one_of_two_workers_was_paused_until_the_other_had_all(
    kind: type[Door], settings: dict[str, str], tmp_path: Path, org: str
) -> None:
    """The one that comes back has outcomes for what isn't its own any more."""
    async with kind(settings, org) as door:
        with two(door, settings, tmp_path) as (first, _):
            await eventually(door.ready, within=30)
            await door.send(range(COUNT))
            await eventually(lambda: counted(door, SOME), within=60)
            first.signal(signal.SIGSTOP)
            await eventually(door.over, within=180)  # after 5 s of its silence, or 30
            first.signal(signal.SIGCONT)
            await door.send(range(COUNT, COUNT + SOME))
            await eventually(door.over, within=60)
            receipts = await eventually(lambda: counted(door, COUNT + SOME), within=60)
            assert {receipt["status"] for receipt in receipts} == {"accepted"}
            database = settings["SWITCHBOARD_DATABASE_URL"]
            await eventually(lambda: len(ledger.rows(database)) == COUNT + SOME, within=60)
            assert set(ledger.rows(database)) == {receipt["id"] for receipt in receipts}
            assert set(ledger.rows(database).values()) == {1}
            stream = await ledger.streamed(settings["SWITCHBOARD_NATS_URL"], f"sb-{org}")
            assert len(stream) == len(set(stream)) == COUNT + SOME
            assert await asyncio.to_thread(first.stop) == 0
