"""P4: rows a second of the logger's writer, with dedup, against `psql \\copy` of as many of the same rows into the same tables.

Both write `messages` and `message_keys`, with all their indexes, 5,000 rows a transaction. The writer gets flushes as the logger does and
looks for what is there already; psql gets files in COPY's binary format, the fastest one, made and on the disk before the clock starts.
Each has its connection before. They take turns batch by batch, now one first, now the other, so that what the disk does besides (a
checkpoint, another process's fsync) falls on both: run after run, as they were, its noise was greater than any difference.
"""

import asyncio
import json
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from infra.local import postgres_tree
from infra.local.server import SILENT
from shared.adapters.postgres.copy_rows import Row, day_of, key_rows, message_rows, pieces
from shared.adapters.postgres.statements import statement
from shared.adapters.postgres.writer import ShardWriter
from shared.domain.message import Message, message_digest, message_id
from shared.domain.record import NEW, Accepted, Flush
from tests.bench.processes import cpu_seconds

BATCH = 5_000  # rows a transaction
FLUSH = 1_000  # records a flush, the most a door puts into one
PADDING = "x" * 440  # bodies of about 480 bytes

Copy = Callable[[int], Awaitable[None]]  # of the batch with that number


def _columns(name: str) -> str:
    """The columns of one of the writer's COPY statements, which its packed rows are in the order of."""
    (columns,) = re.findall(rb"\((.+?)\)", statement(name), re.DOTALL)[:1]
    return " ".join(columns.decode().split())


async def run(database_url: str, rows: int = 50_000, repeat: int = 3) -> list[dict[str, float]]:
    """Measure on a migrated database, whose tables grow by twice `rows` a run; returns rows/s of both, the ratio, and microseconds of CPU
    a row that each one's backend took."""
    await _warm(database_url)
    return [await _run(database_url, turn + 1, rows) for turn in range(repeat)]


async def _warm(database_url: str) -> None:
    """Make today's partition and chunk, which only the first batch of a day pays for."""
    async with _writer(database_url, 0, _flushes(_records(FLUSH, "warm"))) as write:
        await write(0)


async def _run(database_url: str, turn: int, rows: int) -> dict[str, float]:
    ours, theirs = _flushes(_records(rows, f"ours-{turn}")), _records(rows, f"theirs-{turn}")
    with tempfile.TemporaryDirectory() as folder:
        scripts = [_script(Path(folder), theirs[place : place + BATCH], place) for place in range(0, rows, BATCH)]
        async with _writer(database_url, turn, ours) as write, _psql(database_url, scripts) as copy:
            backends = await _backends(database_url, turn)
            before = [cpu_seconds(pid) for pid in backends]
            writer, psql = await _seconds(write, copy, rows // BATCH)
            ours_cpu, theirs_cpu = (cpu_seconds(pid) - spent for pid, spent in zip(backends, before, strict=True))
    return {
        "writer": rows / writer,
        "psql": rows / psql,
        "ratio": psql / writer,
        "writer_cpu": ours_cpu / rows * 1e6,
        "psql_cpu": theirs_cpu / rows * 1e6,
    }


async def _seconds(write: Copy, copy: Copy, batches: int) -> tuple[float, float]:
    """What all batches took the one and the other."""
    spent = {write: 0.0, copy: 0.0}
    for batch in range(batches):
        for side in (copy, write) if batch % 2 else (write, copy):
            started = time.perf_counter()
            await side(batch)
            spent[side] += time.perf_counter() - started
    return spent[write], spent[copy]


def _flushes(records: list[Accepted]) -> list[Flush]:
    now = time.time_ns() // 1000
    return [Flush(n + 1, now, bytes([NEW]) * FLUSH, records[n * FLUSH : (n + 1) * FLUSH]) for n in range(len(records) // FLUSH)]


@asynccontextmanager
async def _writer(database_url: str, shard: int, flushes: list[Flush]) -> AsyncIterator[Copy]:
    """The logger's writer, connected."""
    writer, size = ShardWriter(database_url, "bench", shard, deadline=60), BATCH // FLUSH

    async def write(batch: int) -> None:
        await writer.write(flushes[batch * size : (batch + 1) * size])

    try:
        await writer.write([])
        yield write
    finally:
        await writer.close()


@asynccontextmanager
async def _psql(database_url: str, scripts: list[str]) -> AsyncIterator[Copy]:
    """psql, connected."""
    program = str(postgres_tree.find(SILENT).bin / "psql")
    arguments = (database_url, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1")
    process = await asyncio.create_subprocess_exec(program, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    sent, told = process.stdin, process.stdout

    async def run_script(script: str) -> None:
        sent.write(f"{script}\n\\echo done\n".encode())
        if await told.readline() != b"done\n":
            raise RuntimeError("psql refused its script; what it said is above")

    try:
        await run_script("")
        yield lambda batch: run_script(scripts[batch])
    finally:
        sent.close()
        await process.wait()


def _script(folder: Path, records: Sequence[Accepted], place: int) -> str:
    """psql's commands for one batch, whose files are made here."""
    now = time.time_ns() // 1000
    rows = [Row(record, now, day_of(record.message.received_at)) for record in records]
    messages, keys = folder / f"messages-{place}", folder / f"keys-{place}"
    for path, packed in ((messages, message_rows(rows)), (keys, key_rows(rows))):
        with path.open("wb") as file:
            file.writelines(pieces(packed))
            file.flush()
            os.fsync(file.fileno())
    copies = [f"\\copy messages ({_columns('copy_messages')}) from '{messages}' with (format binary)"]
    copies += [f"\\copy message_keys ({_columns('copy_keys')}) from '{keys}' with (format binary)"]
    return "\n".join(("BEGIN;", *copies, "COMMIT;"))


async def _backends(database_url: str, shard: int) -> tuple[int, int]:
    """The processes of the server that work for the writer and for psql."""
    query = "SELECT application_name, pid FROM pg_stat_activity WHERE datname = current_database()"
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        pids: dict[str, int] = dict(await (await connection.execute(query)).fetchall())
    return pids[f"switchboard-logger-{shard}"], pids["psql"]


def _records(count: int, name: str) -> list[Accepted]:
    """Messages of about 480 bytes of 20 topics, 50 subjects and 100 sources, all new."""
    now = time.time_ns() // 1000
    return [_record(f"{name}-{now}-{place}", place, now + place) for place in range(count)]


def _record(event_id: str, place: int, received_at: int) -> Accepted:
    org, topic, subject, source, kind = "bench", f"orders.{place % 20}", f"agent-{place % 50}", f"/shops/{place % 100}", "order.created"
    body = json.dumps({"order": place, "note": PADDING}).encode()
    message = Message(
        id=message_id(org, source, event_id),
        digest=message_digest(kind, subject, topic, "application/json", None, body),
        org=org,
        topic=topic,
        subject=subject,
        source=source,
        event_id=event_id,
        type=kind,
        time="2026-01-02T03:04:05Z",
        datacontenttype="application/json",
        dataschema=None,
        extensions={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        body=body,
        received_at=received_at,
        door="http",
        principal="bench",
        revision=1,
    )
    return Accepted(message, ("local",))


async def committed(database_url: str) -> int:
    """How many rows the tables hold: what a benchmark's caller may check."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        found = await (await connection.execute("SELECT count(*) FROM messages WHERE org = 'bench'")).fetchone()
        return int(found[0]) if found else 0
