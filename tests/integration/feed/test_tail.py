"""`switchboard tail` as a process, against a real feed."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from functions.websocket import catching_up
from functions.websocket.socket import Limits
from shared.adapters.postgres import PostgresMessageStore
from shared.domain.record import NEW, Flush
from tests.feed import FixedSnapshots, Log, Pod, accepted, blocked, delivered, message, pod
from tests.waiting import eventually


@asynccontextmanager
async def tailing(where: Pod, key: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The running command; it is ended after the block."""
    command = (sys.executable, "-m", "infra.cli.main", "tail", *arguments)
    environment = {**os.environ, "SWITCHBOARD_URL": where.url, "SWITCHBOARD_KEY": key, "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return (await process.stdout.readline()).decode()


async def first_line(process: asyncio.subprocess.Process, log: Log, org: str) -> str:
    """Its first line: it watches from now on, so messages are written until one is seen."""
    seen = asyncio.create_task(line(process))
    number = 0

    async def look() -> bool:
        nonlocal number
        number += 1
        await log.write(accepted(message(org, f"try-{number}")))
        return seen.done()

    await eventually(look)
    return await seen


async def event_ids_until(process: asyncio.subprocess.Process, wanted: str) -> list[str]:
    """The event ids it prints, up to that one."""
    found: list[str] = []
    while wanted not in found:
        found.append(json.loads(await line(process))["event_id"])
    return found


async def test_json_lines_go_on_where_they_were_when_the_pod_restarts(redis_url: str, secret: Path, log: Log, org: str) -> None:
    snapshots = FixedSnapshots()
    key = snapshots.add(org)
    async with AsyncExitStack() as stack:
        async with pod(redis_url, secret, snapshots) as feed:
            tail = await stack.enter_async_context(tailing(feed, key, "-o", "json"))
            assert json.loads(await first_line(tail, log, org))["org"] == org
            await log.write(accepted(message(org, "before")))
            await event_ids_until(tail, "before")
        await log.write(accepted(message(org, "meanwhile")))
        async with pod(redis_url, secret, snapshots, port=int(feed.url.rpartition(":")[2])):
            sent = message(org, "after")
            await log.write([*accepted(sent), delivered(sent, sequence=3)])
            assert await event_ids_until(tail, "after") == ["meanwhile", "after"]
            assert json.loads(await line(tail))["delivery"]["sequence"] == 3


async def test_people_see_a_line_with_what_matters(redis_url: str, secret: Path, log: Log, org: str) -> None:
    snapshots = FixedSnapshots()
    async with pod(redis_url, secret, snapshots) as feed, tailing(feed, snapshots.add(org), "--topic", "orders.>") as tail:
        assert "orders.created" in await first_line(tail, log, org)
        await log.write([blocked(message(org, "huge", topic="orders.import", body=b'{"sku":"\\u001b[31m"}'))])
        shown = await line(tail)
        while "orders.import" not in shown:
            shown = await line(tail)
    assert "blocked:size" in shown
    assert "-> agent-7" in shown
    assert "\x1b" not in shown


async def test_only_what_the_filter_is_true_of_is_printed(redis_url: str, secret: Path, log: Log, org: str) -> None:
    snapshots = FixedSnapshots()
    async with (
        pod(redis_url, secret, snapshots) as feed,
        tailing(feed, snapshots.add(org), "--filter", "data.n == 1 || data.n > 5", "-o", "json") as tail,
    ):
        await first_line(tail, log, org)
        await log.write(accepted(message(org, "small", body=b'{"n":5}'), message(org, "large", body=b'{"n":6}')))
        seen = await event_ids_until(tail, "large")
    assert "small" not in seen


async def test_nothing_is_missing_when_a_part_of_it_is_in_no_store_yet(
    redis_url: str, database: str, secret: Path, log: Log, org: str
) -> None:
    old, late, live = (message(org, event) for event in ("old", "late", "live"))
    await log.write(accepted(old))
    await log.unstored(await log.write(accepted(late)))
    store = PostgresMessageStore(database)
    await store.write(0, [Flush(1, time.time_ns() // 1000, bytes([NEW]), accepted(old))])
    await store.stop()
    snapshots = FixedSnapshots()
    async with (
        pod(redis_url, secret, snapshots, database=database) as feed,
        tailing(feed, snapshots.add(org), "--since", "1h", "--subject", ">", "-o", "json") as tail,
    ):
        assert await event_ids_until(tail, "late") == ["old", "late"]
        await log.write(accepted(live))
        assert await event_ids_until(tail, "live") == ["live"]


@pytest.mark.parametrize("full", ["too many catch up", "too many watch"])
async def test_it_waits_for_room_when_the_feed_has_none(
    full: str, redis_url: str, database: str, secret: Path, log: Log, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended, and who ran it had to run it again."""
    await log.unstored(await log.write(accepted(message(org, "late"))))
    monkeypatch.setattr(catching_up, "FAR_S", -1.0)
    if full == "too many catch up":
        monkeypatch.setattr(catching_up, "CLIENTS", 0)
    limits = Limits(clients=0) if full == "too many watch" else Limits()
    snapshots = FixedSnapshots()
    async with (
        pod(redis_url, secret, snapshots, limits, database=database) as feed,
        tailing(feed, snapshots.add(org), "--since", "1h", "-o", "json") as tail,
    ):
        assert tail.stderr is not None
        async with asyncio.timeout(60):
            assert (await tail.stderr.readline()).decode().startswith("waiting: ")
        monkeypatch.setattr(catching_up, "CLIENTS", 16)
        object.__setattr__(limits, "clients", 1_000)
        assert await event_ids_until(tail, "late") == ["late"]


@pytest.mark.parametrize(("arguments", "status"), [(("--topic", "a..b"), 65), (("--filter", "data.n >"), 65)])
async def test_refused_subscription_ends_with_its_exit_code(
    redis_url: str, secret: Path, org: str, arguments: tuple[str, ...], status: int
) -> None:
    snapshots = FixedSnapshots()
    async with pod(redis_url, secret, snapshots) as feed, tailing(feed, snapshots.add(org), *arguments) as tail:
        assert await tail.wait() == status


async def test_unknown_key_ends_with_its_exit_code(redis_url: str, secret: Path) -> None:
    async with pod(redis_url, secret, FixedSnapshots()) as feed, tailing(feed, "nonsense") as tail:
        assert await tail.wait() == 67
