"""The reference servers of the bench, and what a process has cost so far."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.product import free_port, wait_until


def cpu_seconds(pid: int) -> float:
    """User and system time so far of a process and of those it has started, as gunicorn its worker."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


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
