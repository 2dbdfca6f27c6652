"""Absolute figures: events a core-second of one process, each slice of the work between two short slices of the bare ASGI echo.

Their gates are of the design's machine, on which a core did ECHO_THERE bare echoes a second. `scaled` is what this machine's core did in
echoes of the same run, times that: the figure that can be compared between machines. Both are printed, and both are held to the gate.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import mean
from typing import NamedTuple

from tests.bench import traffic
from tests.bench.figure import Figure
from tests.bench.load import send
from tests.bench.processes import UVICORN, cpu_seconds, served

ECHO_THERE = 47_600  # performance.md, "HTTP, one core": bare ASGI on uvicorn
ECHOES = 4_000  # a slice
CONNECTIONS = 64  # so few that opening them is nothing beside what they carry
SLICES = 5  # of the work, a run: a machine's speed drifts within a run, too

Echo = Callable[[], Awaitable[float]]


class Slice(NamedTuple):
    """What a slice of the work was: events, CPU seconds of the process that is measured, and seconds on the clock."""

    events: int
    cpu: float
    wall: float


async def sliced(pid: int, events: int, working: Awaitable[object], after: float = 0) -> Slice:
    """Do so many events' work, and say what process `pid` spent on it, `after` seconds afterwards included."""
    spent, began = cpu_seconds(pid), time.perf_counter()
    await working
    wall = time.perf_counter() - began
    await asyncio.sleep(after)
    return Slice(events, cpu_seconds(pid) - spent, wall)


@asynccontextmanager
async def echoing() -> AsyncIterator[Echo]:
    """The bare ASGI echo: CPU microseconds a request, of a slice of it each time it is called."""
    with served([*UVICORN, "tests.bench.echo:app"]) as (url, pid):

        async def echo() -> float:
            sending = send(url, traffic.single(url, "", ECHOES), connections=CONNECTIONS)
            return (await sliced(pid, ECHOES, sending)).cpu / ECHOES * 1e6

        await echo()  # the first ones cost more
        yield echo


async def core_seconds(name: str, work: Callable[[], Awaitable[Slice]], gate: float, goal: float | None = None, runs: int = 3) -> Figure:
    """The figure of this work; `work` does a slice of it."""
    rates: list[float] = []
    walls: list[float] = []
    echoes: list[float] = []
    async with echoing() as echo:
        for _ in range(runs):
            beside, slices = [await echo()], []
            for _ in range(SLICES):
                slices.append(await work())
                beside.append(await echo())
            events = sum(one.events for one in slices)
            rates.append(events / sum(one.cpu for one in slices))
            walls.append(events / sum(one.wall for one in slices))
            echoes.append(mean(beside))
    scaled = [rate * echo / 1e6 * ECHO_THERE for rate, echo in zip(rates, echoes, strict=True)]
    notes = {"events_a_second": walls, "us_echo": echoes}
    return Figure(name, "events a core-second", rates, gate=gate, goal=goal, notes=notes, scaled=scaled)
