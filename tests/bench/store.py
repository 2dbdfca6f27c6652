"""P4: the logger's rows a second into the store, over `psql \\copy` of the same rows into the same tables."""

from pathlib import Path

from shared.adapters.postgres.migrations import migrate
from tests.bench import logger_rows
from tests.bench.figure import Figure
from tests.servers import Databases, add_timescaledb, running


async def rows(state: Path, runs: int = 5) -> Figure:
    """On a database of its own."""
    with running("database", state) as server:
        databases = Databases(server.url)
        url = databases.url_of(databases.create())
        add_timescaledb(url)
        migrate(url)
        measured = await logger_rows.run(url, repeat=runs)
    return Figure(
        "P4",
        "x psql \\copy",
        [run["ratio"] for run in measured],
        gate=0.9,
        goal=1.0,
        notes={
            "rows_a_second": [run["writer"] for run in measured],
            "psql": [run["psql"] for run in measured],
            "server_us_a_row": [run["writer_cpu"] for run in measured],
            "server_us_a_row_psql": [run["psql_cpu"] for run in measured],
        },
    )
