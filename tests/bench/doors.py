"""P1, P2, P3: what a request costs the door's process, beside its reference in the same run."""

import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from tests.bench import traffic
from tests.bench.core_second import SLICES, Slice, core_seconds, sliced
from tests.bench.figure import Figure
from tests.bench.load import Load, send
from tests.bench.policies import THREE
from tests.bench.processes import UVICORN, cpu_seconds, served
from tests.product import product
from tests.waiting import eventually_now

IN_FLIGHT = 256
LITERAL_IN_FLIGHT = 64  # with 256 the Redis client runs out of connections now and then; it is no faster
LITERAL = [
    str(Path(sys.executable).with_name("functions-framework")),
    "--target",
    "literal",
    "--source",
    str(Path(__file__).with_name("literal.py")),
    "--host",
    "127.0.0.1",
    "--port",
    "{port}",
]
P3_NOTES = ("ours", "literal", "cpu_ratio", "literal_asgi", "x_asgi", "cpu_ratio_asgi", "x_echo", "cpu_ratio_echo")
LITERAL_ASGI = [*UVICORN, "--factory", "tests.bench.literal:app"]


class Measured:
    """Slices of one run, together."""

    def __init__(self) -> None:
        self.requests = 0
        self.seconds = self.cpu = 0.0

    def add(self, us: float, load: Load) -> None:
        """One slice, of so many microseconds of CPU a request."""
        self.requests += load.requests
        self.seconds += load.seconds
        self.cpu += us * load.requests

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of CPU a request."""
        return self.cpu / self.requests


async def _answered(url: str, requests: Any, connections: int, expect: int) -> Load:
    """Send them. Raises RuntimeError when a request was not answered with `expect`."""
    load = await send(url, requests, connections=connections)
    if set(load.statuses) != {expect}:
        raise RuntimeError(f"{url} answered {load.statuses}, wanted {expect} only")
    return load


async def _cost(url: str, pid: int, requests: Any, connections: int, expect: int) -> tuple[float, Load]:
    """CPU microseconds a request of process `pid`. Raises RuntimeError when a request was not answered with `expect`."""
    before = cpu_seconds(pid)
    load = await _answered(url, requests, connections, expect)
    return (cpu_seconds(pid) - before) / load.requests * 1e6, load


async def ruled_single_events(state: Path) -> Figure:
    """P1 under a limit, grants, a schema and three policies."""
    figure = await single_events(state, document=THREE)
    return msgspec.structs.replace(figure, name="P1 rules", gate=0.31, goal=None)


async def ruled_batches_of_50(state: Path) -> Figure:
    """P2 under the same."""
    figure = await batches_of_50(state, document=THREE)
    return msgspec.structs.replace(figure, name="P2 rules", gate=40_000, goal=None)


def _ruled(endpoints: dict[str, Any], document: Any) -> None:
    """The org's document, in force at the front."""
    answer = httpx.put(
        endpoints["http"] + "/v1/config/org", json=document, headers={"authorization": f"Bearer {endpoints['key']}"}, timeout=20
    )
    answer.raise_for_status()
    revision = int(answer.headers["etag"].strip('"'))
    eventually_now(lambda: _revision(endpoints) >= revision, within=30)


def _revision(endpoints: dict[str, Any]) -> int:
    """What the front judges by: a refusal says it, too."""
    probe = {"ce-specversion": "1.0", "ce-id": uuid4().hex, "ce-source": "/probe", "ce-type": "probe"}
    answer = httpx.post(endpoints["http"] + "/v1/events", headers=probe | {"authorization": f"Bearer {endpoints['key']}"}, timeout=20)
    return int(answer.json().get("config_revision", 0))


async def single_events(state: Path, runs: int = 3, count: int = 20_000, document: Any = None) -> Figure:
    """P1: CPU of a bare ASGI echo over CPU of ingest, a request."""
    ratios, walls, ours, echoes = [], [], [], []
    with product(state) as endpoints, served([*UVICORN, "tests.bench.echo:app"]) as (echo_url, echo_pid):
        url, key, pid = endpoints["http"] + "/v1/events", endpoints["key"], endpoints["processes"]["front"]
        if document is not None:
            _ruled(endpoints, document)
        await send(url, traffic.single(url, key, 4_000), connections=IN_FLIGHT)
        await send(echo_url, traffic.single(echo_url, key, 4_000), connections=IN_FLIGHT)
        for _ in range(runs):
            cost = echo = seconds = echo_seconds = 0.0
            for _ in range(SLICES):
                us, load = await _cost(echo_url, echo_pid, traffic.single(echo_url, key, count // SLICES), IN_FLIGHT, 202)
                echo, echo_seconds = echo + us / SLICES, echo_seconds + load.seconds
                us, load = await _cost(url, pid, traffic.single(url, key, count // SLICES), IN_FLIGHT, 202)
                cost, seconds = cost + us / SLICES, seconds + load.seconds
            ratios.append(echo / cost)
            walls.append(echo_seconds / seconds)
            ours.append(cost)
            echoes.append(echo)
    notes = {"us_ingest": ours, "us_echo": echoes, "wall_ratio": walls}
    return Figure("P1", "x bare ASGI echo (CPU a request)", ratios, gate=0.40, goal=0.5, notes=notes)


async def batches_of_50(state: Path, runs: int = 3, count: int = 400, document: Any = None) -> Figure:
    """P2: events a core-second of the door's process (servers, logger and load aside), in batches of 50; `count` batches a slice."""
    with product(state) as endpoints:
        url, key, pid = endpoints["http"] + "/v1/events", endpoints["key"], endpoints["processes"]["front"]
        if document is not None:
            _ruled(endpoints, document)

        async def work() -> Slice:
            return await sliced(pid, count * 50, _answered(url, traffic.batches(url, key, count, 50), 16, 202))

        await work()
        return await core_seconds("P2", work, 120_000, goal=150_000, runs=runs)


async def literal_stack(state: Path, runs: int = 3, count: int = 60_000, literal_count: int = 1_000) -> Figure:
    """P3: events a second through the door, over events a second through the literal stack. `x_asgi` is over its ASGI variant; `cpu_ratio`
    compares the CPU of the two processes a request: all else that works on these cores (servers, logger, load) is in neither. `x_echo` and
    `cpu_ratio_echo` are the same of the bare ASGI echo, which stores nothing."""
    ratios: list[float] = []
    notes: dict[str, list[float]] = {name: [] for name in P3_NOTES}
    with product(state) as endpoints:
        url, key, front = endpoints["http"] + "/v1/events", endpoints["key"], endpoints["processes"]["front"]
        servers = {"SWITCHBOARD_REDIS_URL": endpoints["redis"], "SWITCHBOARD_NATS_URL": endpoints["nats"]}
        with served(LITERAL, servers) as first, served(LITERAL_ASGI, servers) as second, served([*UVICORN, "tests.bench.echo:app"]) as echo:
            for other, _ in (first, second):
                await send(other, traffic.single(other, key, 200), connections=LITERAL_IN_FLIGHT)
            await send(url, traffic.single(url, key, 4_000), connections=IN_FLIGHT)
            for _ in range(runs):
                ours, stock, asgi, bare = Measured(), Measured(), Measured(), Measured()
                for _ in range(SLICES):
                    literally = [traffic.single(other, key, literal_count // SLICES) for other, _ in (first, second)]
                    stock.add(*await _cost(*first, literally[0], LITERAL_IN_FLIGHT, 200))
                    ours.add(*await _cost(url, front, traffic.single(url, key, count // SLICES), IN_FLIGHT, 202))
                    asgi.add(*await _cost(*second, literally[1], LITERAL_IN_FLIGHT, 200))
                    bare.add(*await _cost(*echo, traffic.single(echo[0], key, count // SLICES), IN_FLIGHT, 202))
                ratios.append(ours.rate / stock.rate)
                seen = (
                    ours.rate, stock.rate, stock.cost / ours.cost,
                    asgi.rate, ours.rate / asgi.rate, asgi.cost / ours.cost,
                    bare.rate / stock.rate, stock.cost / bare.cost,
                )  # fmt: skip
                for series, value in zip(notes.values(), seen, strict=True):
                    series.append(value)
    return Figure("P3", "x the literal stack", ratios, gate=25, goal=None, notes=notes)
