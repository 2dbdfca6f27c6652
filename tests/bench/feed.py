"""P6: from POST to a client of the feed, at 5,000 events a second."""

from pathlib import Path

from tests.bench.feed_latency import run
from tests.bench.figure import Figure
from tests.product import product

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
