"""P4: rows a second of the logger's writer, with dedup, against `psql \\copy` of as many of the same rows into the same tables.

Both write `messages` and `message_keys`, with all their indexes, 5,000 rows a transaction. The writer gets flushes as the logger does and
looks for what is there already; psql gets files in COPY's binary format, the fastest one, made before the clock starts.
"""

import asyncio
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from infra.local import postgres_tree
from infra.local.server import SILENT
from shared.adapters.postgres.copy_rows import Row, day_of, key_rows, message_rows, pieces
from shared.adapters.postgres.statements import statement
from shared.adapters.postgres.writer import ShardWriter
from shared.domain.message import Message, message_digest, message_id
from shared.domain.record import NEW, Accepted, Flush

BATCH = 5_000  # rows a transaction
FLUSH = 1_000  # records a flush, the most a door puts into one
PADDING = "x" * 440  # bodies of about 480 bytes


def _columns(name: str) -> str:
    """The columns of one of the writer's COPY statements, which its packed rows are in the order of."""
    (columns,) = re.findall(rb"\((.+?)\)", statement(name), re.DOTALL)[:1]
    return " ".join(columns.decode().split())


async def run(database_url: str, rows: int = 50_000, repeat: int = 3) -> list[dict[str, float]]:
    """Measure on a migrated database, whose tables grow by `rows` a run; returns rows/s of both and the ratio of each pair."""
    await _warm(database_url)
    runs: list[dict[str, float]] = []
    for turn in range(repeat):
        ours, theirs = _records(rows, f"ours-{turn}"), _records(rows, f"theirs-{turn}")
        if turn % 2:
            reference = await asyncio.to_thread(_copy_with_psql, database_url, theirs)
            writer = await _write(database_url, turn + 1, ours)
        else:
            writer = await _write(database_url, turn + 1, ours)
            reference = await asyncio.to_thread(_copy_with_psql, database_url, theirs)
        runs.append({"writer": rows / writer, "psql": rows / reference, "ratio": reference / writer})
    return runs


async def _warm(database_url: str) -> None:
    """Make today's partition and chunk, which only the first batch of a day pays for."""
    await _write(database_url, 0, _records(FLUSH, "warm"))


async def _write(database_url: str, shard: int, records: list[Accepted]) -> float:
    """Seconds for all of it, the connection made before."""
    now = time.time_ns() // 1000
    flushes = [Flush(n + 1, now, bytes([NEW]) * FLUSH, records[n * FLUSH : (n + 1) * FLUSH]) for n in range(len(records) // FLUSH)]
    writer = ShardWriter(database_url, "bench", shard, deadline=60)
    try:
        await writer.write([])
        started = time.perf_counter()
        for place in range(0, len(flushes), BATCH // FLUSH):
            await writer.write(flushes[place : place + BATCH // FLUSH])
        return time.perf_counter() - started
    finally:
        await writer.close()


def _copy_with_psql(database_url: str, records: list[Accepted]) -> float:
    """Seconds from psql's first byte to its end."""
    psql = postgres_tree.find(SILENT).bin / "psql"
    now = time.time_ns() // 1000
    with tempfile.TemporaryDirectory() as folder:
        script: list[str] = []
        for place in range(0, len(records), BATCH):
            rows = [Row(record, now, day_of(record.message.received_at)) for record in records[place : place + BATCH]]
            messages, keys = Path(folder, f"messages-{place}"), Path(folder, f"keys-{place}")
            messages.write_bytes(b"".join(pieces(message_rows(rows))))
            keys.write_bytes(b"".join(pieces(key_rows(rows))))
            script += ["BEGIN;", f"\\copy messages ({_columns('copy_messages')}) from '{messages}' with (format binary)"]
            script += [f"\\copy message_keys ({_columns('copy_keys')}) from '{keys}' with (format binary)", "COMMIT;"]
        command = [str(psql), database_url, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
        started = time.perf_counter()
        subprocess.run(command, input="\n".join(script), text=True, check=True)
        return time.perf_counter() - started


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
