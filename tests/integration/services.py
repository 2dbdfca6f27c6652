"""Functions and pods as processes with a port of their own, to stop, kill and start again; and a whole wiring of them."""

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from functions.pipeline import STEPS
from tests.integration.fronts import ROOT
from tests.ports import free_port
from tests.waiting import eventually_now

# Plain HTTP needs none of the machine's certificates, which httpx reads anew for each call without this: 40 ms of CPU at each look at a
# process that starts, and wants the core.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Service:
    """`python -m functions.<name>.main`, under the same URL each time it runs."""

    def __init__(self, name: str, settings: dict[str, str], directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"{name}.log"
        self.command: Sequence[str] = (sys.executable, "-m", f"functions.{name}.main")
        self.path = "/readyz"  # answers once it is ready
        self.settings = settings | {"PORT": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it; returns once it is ready."""
        with open(self.log, "ab") as output:
            self._process = subprocess.Popen(self.command, env=self.settings, stdout=output, stderr=output, cwd=ROOT)
        eventually_now(self.ready)

    def ready(self) -> bool:
        """Whether it serves: /readyz answers 200; anywhere else anything but 503 will do."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            status = httpx.get(f"{self.url}{self.path}", timeout=10, verify=NO_CERTIFICATES).status_code
            return status == 200 if self.path == "/readyz" else status != 503
        except httpx.TransportError:
            return False

    def degraded(self) -> list[str]:
        """What /readyz says is lost."""
        names: list[str] = httpx.get(f"{self.url}/readyz", timeout=10, verify=NO_CERTIFICATES).json()["degraded"]
        return names

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL, as a crash does it."""
        self.signal(signal.SIGKILL)
        self.ended()

    def ended(self) -> int:
        """The exit status, once it has ended."""
        assert self._process is not None
        status = self._process.wait(60)
        self._process = None
        return status

    def stop(self) -> int:
        """SIGTERM, and the exit status; 0 where it doesn't run."""
        if self._process is None:
            return 0
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        return self.ended()


@contextmanager
def serving(*services: Service) -> Iterator[None]:
    """All of them, for the time of the block."""
    with ExitStack() as stack:
        for service in services:
            stack.callback(service.stop)
            service.start()
        yield


class Remote:
    """Every stage a process of its own, joined by HTTP. `door` is ingest; the logger hands its batches to log_batch."""

    def __init__(self, settings: dict[str, str], directory: Path) -> None:
        self.check = Service("check_constraints", settings, directory)
        self.route = Service("route", settings, directory)
        self.log_batch = Service("log_batch", settings, directory)
        urls = {"SWITCHBOARD_CHECK_URL": self.check.url, "SWITCHBOARD_ROUTE_URL": self.route.url}
        self.door = Service("ingest", settings | urls, directory)
        self.logger = Service("logger", settings | {"SWITCHBOARD_LOG_BATCH_URL": self.log_batch.url}, directory)
        self.all = (self.check, self.route, self.log_batch, self.logger, self.door)


class Brokered:
    """Ingest with a Broker behind it; its Triggers are `subscribers`. The logger hands its batches to the store itself."""

    def __init__(self, settings: dict[str, str], directory: Path, sink: str) -> None:
        self.check = Service("check_constraints", settings, directory)
        self.route = Service("route", settings, directory)
        self.door = Service("ingest", settings | {"K_SINK": sink}, directory)
        self.logger = Service("logger", settings, directory)
        self.all = (self.check, self.route, self.logger, self.door)

    def subscribers(self) -> dict[str, str]:
        """Where the Broker's Triggers lead, by functions/pipeline.py."""
        services = {"check-constraints": self.check, "route": self.route}
        return {step.on: f"{services[step.function].url}/" for step in STEPS}
