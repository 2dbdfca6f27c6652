"""The reference servers of the bench, and what a process has cost so far."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.ports import free_port
from tests.product import wait_until

UVICORN = [
    sys.executable,
    "-m",
    "uvicorn",
    "--port",
    "{port}",
    "--loop",
    "uvloop",
    "--http",
    "httptools",
    "--no-access-log",
    "--log-level",
    "warning",
]


def cpu_seconds(pid: int) -> float:
    """User and system time so far of a process and of those it has started, as gunicorn its worker.

    By each process's CPU clock, in nanoseconds (clock_getcpuclockid(3), whose arithmetic Python doesn't have): /proc counts in hundredths
    of a second, and a slice has a few dozen of them.
    """
    pids = (pid, *(child.pid for child in psutil.Process(pid).children(recursive=True)))
    return float(sum(time.clock_gettime_ns((~each << 3) | 2) for each in pids)) / 1e9


@contextmanager
def served(command: list[str], environment: dict[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """A reference server on a free port, given as `{port}` in the command: its URL and pid."""
    port = free_port()
    arguments = [part.format(port=port) for part in command]
    with subprocess.Popen(
        arguments, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: _listens(port), process, 30)
            yield f"http://127.0.0.1:{port}/", process.pid
        finally:
            process.terminate()
            process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
