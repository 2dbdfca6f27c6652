"""A `switchboard up` of the test's own, as a child process."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.integration.services import NO_CERTIFICATES
from tests.ports import PROCESSES, SERVERS, give_ports
from tests.waiting import eventually_now

SMALL = ("tests.integration.small_up",)
PRODUCT = ("infra.cli.main", "up")
READY = 60.0  # seconds: the first start makes a database
STOPPED = 90.0  # more than the graces of a process and of the servers after it


class RunningUp:
    """One `up` on a state directory: with small processes (small_up.py), or the product's own. `environment` is added to ours."""

    def __init__(self, state: Path, environment: Mapping[str, str] | None = None, command: tuple[str, ...] = SMALL) -> None:
        self.state = state
        give_ports(state, (*SERVERS, *PROCESSES))
        ours = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHBOARD_")}
        told = {"SWITCHBOARD_STATE_DIR": str(state), "PORT": "0", **(environment or {})}
        self.output = state.parent / f"{state.name}.output"
        with self.output.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command], env={**ours, **told}, stdout=file, stderr=file, start_new_session=True
            )

    def ready(self) -> dict[str, Any]:
        """The content of endpoints.json, once this run has written it; a run that was killed may have left its own."""
        path = self.state / "endpoints.json"

        def settled() -> bool:
            with contextlib.suppress(FileNotFoundError):
                return f'"pid": {self.process.pid},' in path.read_text() or self.process.poll() is not None
            return self.process.poll() is not None

        eventually_now(settled, within=READY)
        assert self.process.poll() is None, self.output.read_text()
        return self.endpoints()

    def endpoints(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.state / "endpoints.json").read_text())
        return content

    def front(self, path: str = "/") -> dict[str, Any]:
        """What the front answers."""
        content: dict[str, Any] = httpx.get(self.endpoints()["http"] + path, verify=NO_CERTIFICATES).json()
        return content

    def ended(self) -> int:
        """The exit code, once it has ended by itself."""
        return self.process.wait(timeout=READY)

    def client(self) -> httpx.Client:
        """A client with the admin key."""
        endpoints = self.endpoints()
        key = Path(endpoints["admin_key_file"]).read_text().strip()
        return httpx.Client(base_url=endpoints["http"], headers={"Authorization": f"Bearer {key}"})

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=STOPPED)

    def kill_everything(self) -> None:
        """SIGKILL to `up` and to all it started, as if at once: it is stopped before, so that it neither starts one of them again nor ends
        first, which the kernel would tell the others: they would end in good order, and their pids might be others' by now."""
        endpoints = self.endpoints()
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        for pid in (*endpoints["processes"].values(), *endpoints["servers"].values(), self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def product_up(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[RunningUp]:
    """A `switchboard up` of the product's own processes, ready, for the time of the block."""
    running = RunningUp(folder / "state", environment, PRODUCT)
    try:
        running.ready()
        yield running
    finally:
        running.stop()
