"""`make soak`: ten minutes of load, and the memory of the door's process through it: under 150 MB, and flat."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import psutil
import uvloop

from tests.bench import traffic
from tests.bench.load import send
from tests.product import endpoints_of, product

LIMIT_MB = 150
GROWTH = 1.10  # the last third's mean over the second third's
EVERY_S = 15


async def soak(state: Path, minutes: float, rate: int) -> list[float]:
    """The resident memory of the front in MB, every 15 s, under so many events a second (half of them in batches of 50)."""
    seen: list[float] = []
    with product(state) as endpoints:
        url, key, front = endpoints["http"] + "/v1/events", endpoints["key"], psutil.Process(endpoints["processes"]["front"])
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            turn = time.monotonic() + EVERY_S
            while (left := turn - time.monotonic()) > 0:
                second = time.monotonic() + min(1, left)
                await send(url, traffic.single(url, key, rate // 2), connections=64)
                await send(url, traffic.batches(url, key, rate // 100, 50), connections=8)
                await asyncio.sleep(max(0.0, second - time.monotonic()))
            seen.append(front.memory_info().rss / 1e6)
            print(f"{seen[-1]:.1f} MB", flush=True)
        if endpoints_of(state)["processes"]["front"] != front.pid:
            raise RuntimeError("the front was restarted meanwhile")
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=1_000, help="events a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="switchboard-soak-") as folder:
        seen = uvloop.run(soak(Path(folder) / "state", options.minutes, options.rate))
    third = len(seen) // 3
    middle, last = sum(seen[third : 2 * third]) / third, sum(seen[-third:]) / third
    print(f"most {max(seen):.1f} MB of {LIMIT_MB}; second third {middle:.1f} MB, last third {last:.1f} MB ({last / middle:.3f}x)")
    return 0 if max(seen) < LIMIT_MB and last <= middle * GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
