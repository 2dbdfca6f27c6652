"""The Redis door: events a core-second of the source's process, as single elements and in arrays of 50, durable to the log's disk.

What is measured is pushed in one go and waits, as after a burst: the door sets its own pace.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis.asyncio

from tests.bench import traffic
from tests.bench.core_second import Slice, core_seconds, sliced
from tests.bench.figure import Figure
from tests.product import product
from tests.waiting import eventually

SUBMIT, OWN = "sb:submit:{default}", "sb:door:{default}:taken:*"
AT_ONCE = 1_000  # elements a push
AFTER = 0.2  # seconds: delivery records of the last ones


def singles(count: int) -> Iterator[bytes]:
    return itertools.islice(traffic.events(), count)


def arrays(count: int) -> Iterator[bytes]:
    source = traffic.events()
    for _ in range(count // 50):
        yield b"[" + b",".join(itertools.islice(source, 50)) + b"]"


async def push(client: Any, elements: list[bytes]) -> None:
    """Onto the submit list."""
    for start in range(0, len(elements), AT_ONCE):
        await client.lpush(SUBMIT, *elements[start : start + AT_ONCE])


async def _through(client: Any, elements: list[bytes]) -> None:
    """Push them, and wait until they are through. Raises AssertionError when they aren't in a minute."""
    await push(client, elements)

    async def through() -> bool:
        return not await client.exists(SUBMIT) and not await client.keys(OWN)

    await eventually(through, within=60)


async def _figure(name: str, state: Path, in_arrays: bool, gate: int, runs: int, count: int) -> Figure:
    """`count` events a slice."""
    made = arrays if in_arrays else singles
    with product(state) as endpoints:
        pid = endpoints["processes"]["redis_source"]
        client: Any = redis.asyncio.Redis.from_url(endpoints["redis"])

        async def work() -> Slice:
            return await sliced(pid, count, _through(client, list(made(count))), AFTER)

        async with client:
            await work()
            return await core_seconds(name, work, gate, runs=runs)


async def arrays_of_50(state: Path, runs: int = 3, count: int = 20_000) -> Figure:
    """Elements of 50 events."""
    return await _figure("redis", state, True, 60_000, runs, count)


async def single_elements(state: Path, runs: int = 3, count: int = 10_000) -> Figure:
    """Elements of one event."""
    return await _figure("redis single", state, False, 25_000, runs, count)
