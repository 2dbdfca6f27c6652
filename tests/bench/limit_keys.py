"""What 100,000 active rate-limit keys take of a door's memory: resident, of a process of their own, with reports and answers under way.

`python -m tests.bench.limit_keys` is that process: it prints MB.
"""

import asyncio
import gc
import resource
import sys
from pathlib import Path

from shared.domain.config.document import RateLimit
from shared.domain.rules.limits import MAX_KEYS, Limits
from tests.bench.figure import Figure

LIMIT = RateLimit("per-producer", ("topic", "source", "principal"), 100, 200)
ROUNDS = 4  # times that each key is used, and reported as often as there is room for


async def limit_keys(state: Path, runs: int = 3) -> Figure:
    """MB of 100,000 keys of about 80 characters."""
    taken = [await _measured() for _ in range(runs)]
    return Figure("limit keys", "MB for 100,000 keys", taken, gate=60, below=True)


async def _measured() -> float:
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.limit_keys", stdout=asyncio.subprocess.PIPE)
    said, _ = await child.communicate()
    return float(said)


def _resident() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    before, now = _resident(), 0.0
    limits = Limits(shared=True)
    for _ in range(ROUNDS):
        for number in range(MAX_KEYS):
            key = f"acme\0org\0per-producer\0orders.created.{number:06d}\0/shops/berlin/{number:06d}\0shop-{number:06d}"
            now += 1e-6
            if limits.take(((key, LIMIT),), now) is not None:
                raise RuntimeError("a limit was in the way")
            if number % 20_000 == 0:
                reports = limits.report()
                limits.settle(reports, [150.0] * len(reports), now)
    if len(limits) != MAX_KEYS:
        raise RuntimeError(f"{len(limits)} keys are there")
    print(_resident() - before)


if __name__ == "__main__":
    main()
