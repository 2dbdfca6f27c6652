"""The product as its users run it: `switchboard up` as a process, with a state directory of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.ports import PROCESSES, SERVERS, free_port, give_ports


@contextmanager
def product(state: Path) -> Iterator[dict[str, Any]]:
    """Its endpoints.json once it is ready, with `key` added. Raises RuntimeError, with what it said, where it doesn't come up."""
    give_ports(state, (*SERVERS, *PROCESSES))
    command = [str(Path(sys.executable).with_name("switchboard")), "up", "--state", str(state), "--port", str(free_port())]
    said = state.with_suffix(".log")
    with open(said, "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_until((state / "endpoints.json").exists, process, 120, said)
            endpoints = endpoints_of(state)
            endpoints["key"] = Path(endpoints["admin_key_file"]).read_text().strip()
            yield endpoints
        finally:
            process.terminate()
            process.wait(90)


def endpoints_of(state: Path) -> dict[str, Any]:
    """endpoints.json as it is now: pids change with a restart."""
    endpoints: dict[str, Any] = json.loads((state / "endpoints.json").read_text())
    return endpoints


def wait_until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float, said: Path | None = None) -> None:
    """Raises RuntimeError when the process ends first, TimeoutError when it takes longer than that many seconds."""
    limit = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {said.read_text() if said else ''}")
        if time.monotonic() > limit:
            raise TimeoutError(f"{process.args!r} was not ready after {seconds} s")
        time.sleep(0.05)
