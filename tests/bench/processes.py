"""The processes the bench measures: the product as `switchboard up` runs it, and the references."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil


def cpu_seconds(pid: int) -> float:
    """User and system time of one process so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def product(state: Path) -> Iterator[dict[str, Any]]:
    """`switchboard up` in a state directory of its own: its endpoints.json, with `key` added."""
    command = [str(Path(sys.executable).with_name("switchboard")), "up", "--state", str(state), "--port", str(free_port())]
    with open(state.with_suffix(".log"), "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait(lambda: (state / "endpoints.json").exists(), process, 120)
            endpoints: dict[str, Any] = json.loads((state / "endpoints.json").read_text())
            endpoints["key"] = Path(endpoints["admin_key_file"]).read_text().strip()
            yield endpoints
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def served(command: list[str], environment: dict[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """A reference server on a free port, given as `{port}` in the command: its URL and pid."""
    port = free_port()
    arguments = [part.format(port=port) for part in command]
    with subprocess.Popen(
        arguments, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait(lambda: _listens(port), process, 30)
            yield f"http://127.0.0.1:{port}/", process.pid
        finally:
            process.terminate()
            process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(ready: Any, process: "subprocess.Popen[bytes]", seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        if time.monotonic() > limit:
            raise TimeoutError(f"{process.args!r} was not ready after {seconds} s")
        time.sleep(0.05)
