"""The logger pod as it is run: a process with health and metrics, killed, stopped, and told what it lacks."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from shared.adapters.redis.log_queue import RedisLogQueue
from tests.events import accepted
from tests.faults.ledger import streamed
from tests.integration.services import NO_CERTIFICATES
from tests.ports import free_port
from tests.waiting import eventually

PREFIX = "sb:log:{0}:"


class Process:
    """One `python -m functions.logger.main`."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = free_port()
        ours = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHBOARD_")}
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "functions.logger.main"],
                env={**ours, **environment, "PORT": str(self.port)},
                stdout=output,
                stderr=output,
            )

    def ready(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", verify=NO_CERTIFICATES).status_code == 200
        except httpx.TransportError:
            return False

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}/metrics", verify=NO_CERTIFICATES).text

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        return self._process.wait(timeout=60)


Start = Callable[..., Process]


@pytest.fixture
def start(redis_url: str, nats_url: str, database: str, tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def start(**environment: str) -> Process:
        told = {
            "SWITCHBOARD_REDIS_URL": redis_url,
            "SWITCHBOARD_NATS_URL": nats_url,
            "SWITCHBOARD_DATABASE_URL": database,
            "SWITCHBOARD_STATE_DIR": str(tmp_path),
        }
        told = {name: value for name, value in {**told, **environment}.items() if value}
        started.append(Process(told, tmp_path / f"logger-{len(started)}.log"))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def rows(database: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT id) FROM messages WHERE verdict = 'accepted'").fetchone()
    assert found is not None
    assert found[0] == found[1], "a message has two rows"
    return int(found[0])


async def test_every_message_has_one_row_and_is_delivered_when_the_logger_is_killed_again_and_again(
    queue: RedisLogQueue, start: Start, database: str, server: Any, nats_url: str, org: str
) -> None:
    sent = 0
    for _ in range(2):
        pod = start()
        await eventually(pod.ready)
        for number in range(20):
            await queue.append([accepted(f"{sent + place}", org=org) for place in range(100)])
            sent += 100
            if number == 10:
                pod.kill()
    last = start()
    await eventually(last.ready)
    await eventually(lambda: rows(database) == sent)
    await eventually(lambda: not server.zcard(PREFIX + "pending:local"))  # nobody published: the relay does after 5 s
    await eventually(lambda: int(server.hget(PREFIX + "usage", "total")) == 0)
    stream = await streamed(nats_url, f"sb-{org}")
    assert (len(stream), len(set(stream))) == (sent, sent)
    assert "switchboard_relay_delivered" in last.metrics()
    assert last.stop() == 0
    assert server.keys(PREFIX + "taken:*") == []
    assert server.keys(PREFIX + "lease:*") == []


async def test_it_waits_and_says_so_when_redis_is_not_there(start: Start) -> None:
    pod = start(SWITCHBOARD_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    await eventually(pod.ready)
    await eventually(lambda: "switchboard_logger_waits 1.0" in pod.metrics())
    assert pod.stop() == 0


def test_it_ends_with_78_and_names_the_setting_when_one_is_missing(start: Start) -> None:
    pod = start(SWITCHBOARD_REDIS_URL="")
    assert pod.ended() == 78
    assert "SWITCHBOARD_REDIS_URL" in pod.log.read_text()
