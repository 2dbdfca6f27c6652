"""P5: what the feed's process spends on a hundred clients. P6: from POST to a client of the feed, at 5,000 events a second."""

from pathlib import Path
from typing import Any

import redis.asyncio

from tests.bench.core_second import Slice, core_seconds, sliced
from tests.bench.feed_latency import run
from tests.bench.feed_load import Client, watching
from tests.bench.figure import Figure
from tests.bench.redis_door import arrays, push
from tests.product import product
from tests.waiting import eventually

CLIENTS = 100
A_POST = 10  # events: the load generator shares two cores with everything else


async def latency(state: Path, runs: int = 3, seconds: float = 5) -> Figure:
    """The 99th percentile in ms. Raises RuntimeError when not every accepted event came, or the rate was not held."""
    p99, p50, rates = [], [], []
    with product(state) as endpoints:
        await run(endpoints["http"], endpoints["key"], seconds=2, rate=2_000, batch=A_POST)
        for _ in range(runs):
            found = await run(endpoints["http"], endpoints["key"], seconds=seconds, rate=5_000, batch=A_POST)
            if found["received"] != found["accepted"]:
                raise RuntimeError(f"{found['accepted']:.0f} were accepted, and {found['received']:.0f} came on the feed")
            p99.append(found["p99_ms"])
            p50.append(found["p50_ms"])
            rates.append(found["rate"])
    return Figure("P6", "ms, p99 POST to feed", p99, gate=100, below=True, notes={"p50_ms": p50, "accepted_a_second": rates})


async def deliveries(state: Path, runs: int = 3, count: int = 5_000) -> Figure:
    """Messages sent to clients of the feed, times the clients; `count` messages a slice. They come in at the Redis door, whose process is
    another: what is measured does nothing but watch and show."""
    with product(state) as endpoints:
        pid = endpoints["processes"]["front"]
        client: Any = redis.asyncio.Redis.from_url(endpoints["redis"])
        async with client, watching(endpoints["http"], endpoints["key"], CLIENTS) as clients:
            await eventually(lambda: all(each.watching for each in clients), within=30)

            async def work() -> Slice:
                return await sliced(pid, count * CLIENTS, _shown(client, clients, count))

            await work()
            return await core_seconds("P5", work, 1_000_000, runs=runs)


async def _shown(client: Any, clients: list[Client], count: int) -> None:
    """So many new messages, until every client has them. Raises AssertionError when one hasn't in a minute, or was cut off."""
    wanted = clients[0].messages + count
    await push(client, list(arrays(count)))

    def all_have() -> bool:
        if any(each.lost for each in clients):
            raise RuntimeError("the feed cut a client off")
        return all(each.messages == wanted for each in clients)

    await eventually(all_have, within=60)
