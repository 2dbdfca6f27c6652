"""The WebSocket door: events a core-second of its process, in frames of one and of fifty, beside the bare ASGI echo of the same run."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import traffic
from tests.bench.doors import ECHO_THERE, IN_FLIGHT, SLICES, UVICORN
from tests.bench.figure import Figure
from tests.bench.load import send as send_http
from tests.bench.processes import cpu_seconds, served
from tests.bench.socket_load import frame, send
from tests.product import product

CONNECTIONS = 16
ARRAY = 50  # events


async def single_frames(state: Path, runs: int = 3, count: int = 20_000) -> Figure:
    """An event a frame, 64 of them in flight on each connection."""
    return await _figure("websocket", _single, 1, 64, 25_000, state, runs, count)


async def arrays(state: Path, runs: int = 3, count: int = 2_000) -> Figure:
    """Fifty events a frame, two of them in flight on each connection."""
    return await _figure("websocket arrays", _arrays, ARRAY, 2, 100_000, state, runs, count)


async def _figure(
    name: str, frames: Callable[[int], Iterator[bytes]], events: int, window: int, gate: float, state: Path, runs: int, count: int
) -> Figure:
    """The gate is of the design's machine; `scaled` is what doors.batches_of_50 says of it."""
    rates, echoes, walls = [], [], []
    with product(state) as endpoints, served([*UVICORN, "tests.bench.echo:app"]) as (echo_url, echo_pid):
        url, key, pid = endpoints["http"], endpoints["key"], endpoints["processes"]["front"]
        await send(url, key, frames(count // 10), connections=CONNECTIONS, window=window)
        for _ in range(runs):
            cost = echo = seconds = 0.0
            for _ in range(SLICES):
                before = cpu_seconds(echo_pid)
                await send_http(echo_url, traffic.single(echo_url, key, 4_000), connections=IN_FLIGHT)
                echo += (cpu_seconds(echo_pid) - before) / 4_000 * 1e6 / SLICES
                before = cpu_seconds(pid)
                answered, took = await send(url, key, frames(count // SLICES), connections=CONNECTIONS, window=window)
                cost += (cpu_seconds(pid) - before) / answered / events / SLICES
                seconds += took
            rates.append(1 / cost)
            walls.append(count * events / seconds)
            echoes.append(echo)
    scaled = [rate * echo / 1e6 * ECHO_THERE for rate, echo in zip(rates, echoes, strict=True)]
    return Figure(name, "events a core-second", rates, gate=gate, notes={"events_a_second": walls, "us_echo": echoes, "scaled": scaled})


def _single(count: int) -> Iterator[bytes]:
    return map(frame, itertools.islice(traffic.events(), count))


def _arrays(count: int) -> Iterator[bytes]:
    source = traffic.events()
    for _ in range(count):
        yield frame(b"[" + b",".join(itertools.islice(source, ARRAY)) + b"]")
