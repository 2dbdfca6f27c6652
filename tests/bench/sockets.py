"""The WebSocket door: events a core-second of its process, in frames of one and of fifty."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import traffic
from tests.bench.core_second import Slice, core_seconds, sliced
from tests.bench.figure import Figure
from tests.bench.socket_load import frame, send
from tests.product import product

CONNECTIONS = 16
ARRAY = 50  # events


async def single_frames(state: Path, runs: int = 3, count: int = 4_000) -> Figure:
    """An event a frame, 64 of them in flight on each connection."""
    return await _figure("websocket", _single, 1, 64, 25_000, state, runs, count)


async def arrays(state: Path, runs: int = 3, count: int = 400) -> Figure:
    """Fifty events a frame, two of them in flight on each connection."""
    return await _figure("websocket arrays", _arrays, ARRAY, 2, 100_000, state, runs, count)


async def _figure(
    name: str, frames: Callable[[int], Iterator[bytes]], events: int, window: int, gate: float, state: Path, runs: int, count: int
) -> Figure:
    """`count` frames of so many events a slice."""
    with product(state) as endpoints:
        url, key, pid = endpoints["http"], endpoints["key"], endpoints["processes"]["front"]

        async def work() -> Slice:
            sending = send(url, key, frames(count), connections=CONNECTIONS, window=window)
            return await sliced(pid, count * events, sending)

        await work()
        return await core_seconds(name, work, gate, runs=runs)


def _single(count: int) -> Iterator[bytes]:
    return map(frame, itertools.islice(traffic.events(), count))


def _arrays(count: int) -> Iterator[bytes]:
    source = traffic.events()
    for _ in range(count):
        yield frame(b"[" + b",".join(itertools.islice(source, ARRAY)) + b"]")
