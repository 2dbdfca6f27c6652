"""What several files of unit tests begin and end alike."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.unit.redis_doors import Door


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """A Redis door at work on lists in memory, for the time of the test."""
    door = Door()
    running = asyncio.create_task(door.source.run(door.stop))
    yield door
    door.stop.set()
    await running
