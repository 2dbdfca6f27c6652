"""Two workers of a door, one of which is told to stop under load, or only paused and then goes on: each message counts once."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults import ledger
from tests.integration.fronts import environment, new_key
from tests.integration.services import Service, serving
from tests.integration.submitting import Door, Nats, Redis
from tests.waiting import eventually

COUNT = 2_000
SOME = 200  # of which one of the two has had its share, and holds more


@contextmanager
def two(door: Door, settings: dict[str, str], directory: Path) -> Iterator[tuple[Service, Service]]:
    """Two workers of the door, and the logger behind them."""
    first, second = (Service(door.name, settings, directory) for _ in range(2))
    with serving(Service("logger", settings, directory), first, second):
        yield first, second


async def counted(door: Door, at_least: int) -> list[dict[str, Any]]:
    """The receipts so far, if they are of so many messages: of one there may be two, when another worker took it over."""
    found = await door.told()
    return found if len({receipt["id"] for receipt in found}) >= at_least else []


async def published(nats_url: str, org: str, at_least: int) -> list[str]:
    """The ids on the org's stream, if there are so many messages: those that a paused worker gave up are the relay's."""
    found = await ledger.streamed(nats_url, f"sb-{org}")
    return found if len(set(found)) >= at_least else []


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
            await eventually(door.ready)
            await door.send(range(COUNT))
            await eventually(lambda: counted(door, SOME))
            assert await asyncio.to_thread(first.stop) == 0
            receipts = await eventually(lambda: counted(door, COUNT))
            await eventually(door.over)
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
            await eventually(door.ready)
            await door.send(range(COUNT))
            await eventually(lambda: counted(door, SOME))
            first.signal(signal.SIGSTOP)
            await eventually(door.over, within=180)  # after 5 s of its silence, or 30
            first.signal(signal.SIGCONT)
            await door.send(range(COUNT, COUNT + SOME))
            await eventually(door.over)
            receipts = await eventually(lambda: counted(door, COUNT + SOME))
            assert {receipt["status"] for receipt in receipts} == {"accepted"}
            database = settings["SWITCHBOARD_DATABASE_URL"]
            await eventually(lambda: len(ledger.rows(database)) == COUNT + SOME)
            assert set(ledger.rows(database)) == {receipt["id"] for receipt in receipts}
            assert set(ledger.rows(database).values()) == {1}
            stream = await eventually(lambda: published(settings["SWITCHBOARD_NATS_URL"], org, COUNT + SOME))
            assert len(stream) == len(set(stream))
            assert await asyncio.to_thread(first.stop) == 0
