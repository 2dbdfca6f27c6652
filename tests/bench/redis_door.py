"""The Redis door: events a core-second of the source's process, as single elements and in arrays of 50, durable to the log's disk.

What is measured is pushed in one go and waits, as after a burst: the door sets its own pace. `scaled` is this core's figure in bare ASGI
echoes of the same run, times those of the design's machine (doors.py says why).
"""

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis.asyncio

from tests.bench import traffic
from tests.bench.doors import ECHO_THERE, IN_FLIGHT, SLICES, UVICORN
from tests.bench.figure import Figure
from tests.bench.load import send
from tests.bench.processes import cpu_seconds, served
from tests.product import product
from tests.waiting import eventually

SUBMIT, OWN = "sb:submit:{default}", "sb:door:{default}:taken:*"
AT_ONCE = 1_000  # elements a push
ECHOES = 4_000  # a slice


def singles(count: int) -> Iterator[bytes]:
    return itertools.islice(traffic.events(), count)


def arrays(count: int) -> Iterator[bytes]:
    source = traffic.events()
    for _ in range(count // 50):
        yield b"[" + b",".join(itertools.islice(source, 50)) + b"]"


async def _through(client: Any, pid: int, elements: list[bytes], events: int) -> tuple[float, float]:
    """CPU microseconds an event, and events a second. Raises AssertionError when they aren't through in a minute."""
    before, began = cpu_seconds(pid), time.perf_counter()
    for start in range(0, len(elements), AT_ONCE):
        await client.lpush(SUBMIT, *elements[start : start + AT_ONCE])

    async def through() -> bool:
        return not await client.exists(SUBMIT) and not await client.keys(OWN)

    await eventually(through, within=60)
    seconds = time.perf_counter() - began
    await asyncio.sleep(0.2)  # delivery records of the last ones
    return (cpu_seconds(pid) - before) / events * 1e6, events / seconds


async def _figure(name: str, state: Path, in_arrays: bool, gate: int, runs: int, count: int) -> Figure:
    made = arrays if in_arrays else singles
    rates, walls, echoes = [], [], []
    with product(state) as endpoints, served([*UVICORN, "tests.bench.echo:app"]) as (echo_url, echo_pid):
        pid = endpoints["processes"]["redis_source"]
        client: Any = redis.asyncio.Redis.from_url(endpoints["redis"])
        async with client:
            await _through(client, pid, list(made(count)), count)
            await send(echo_url, traffic.single(echo_url, "", ECHOES), connections=IN_FLIGHT)
            for _ in range(runs):
                cost = wall = echo = 0.0
                for _ in range(SLICES):
                    spent = cpu_seconds(echo_pid)
                    await send(echo_url, traffic.single(echo_url, "", ECHOES), connections=IN_FLIGHT)
                    echo += (cpu_seconds(echo_pid) - spent) / ECHOES * 1e6 / SLICES
                    us, rate = await _through(client, pid, list(made(count)), count)
                    cost, wall = cost + us / SLICES, wall + rate / SLICES
                rates.append(1e6 / cost)
                walls.append(wall)
                echoes.append(echo)
    scaled = [rate * echo / 1e6 * ECHO_THERE for rate, echo in zip(rates, echoes, strict=True)]
    return Figure(name, "events a core-second", rates, gate=gate, notes={"events_a_second": walls, "us_echo": echoes, "scaled": scaled})


async def arrays_of_50(state: Path, runs: int = 3, count: int = 20_000) -> Figure:
    """Elements of 50 events."""
    return await _figure("redis", state, True, 60_000, runs, count)


async def single_elements(state: Path, runs: int = 3, count: int = 10_000) -> Figure:
    """Elements of one event."""
    return await _figure("redis single", state, False, 25_000, runs, count)
