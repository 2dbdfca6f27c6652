"""`switchboard up`: the servers, the store's schema, the first key, our processes; then watch over them until a signal comes."""

import contextlib
import json
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local import child, nats, postgres, valkey
from infra.local.external import check_external
from infra.local.processes import Process, programs, reachable
from infra.local.reload import Changes, watching
from infra.local.server import Progress, Say, Server
from infra.local.signals import Signals, Stopped
from infra.local.state import State, exclusive, open_state, write_private
from infra.local.supervisor import Supervisor
from shared.domain.errors import Misconfigured
from shared.settings import Settings

SERVERS: Mapping[str, Callable[[State, Progress], Server]] = {"redis": valkey.prepare, "nats": nats.prepare, "database": postgres.prepare}
SERVERS_START, PROCESSES_START = 120.0, 60.0  # seconds; recovery after a crash reads what was written
ASK_EVERY = 0.1  # seconds between two looks at /readyz, which is a line in a log each
WRITE_AGAIN = 1.0  # seconds
BACKLOG = 2048

FirstSteps = Callable[[str, Path], None]  # (database URL, key file): what the store needs before anything of ours runs


@dataclass(frozen=True, slots=True)
class Plan:
    """What `up` runs. Tests give it other processes."""

    settings: Settings
    processes: Sequence[Process]
    first_steps: FirstSteps
    reload: bool = False


def up(plan: Plan, say: Say) -> None:
    """Run until SIGINT or SIGTERM, then stop everything in good order and return.

    Raises Misconfigured (exit code 78) for what an operator must change, Unavailable when something doesn't start.
    """
    began = time.monotonic()
    state = open_state(plan.settings.state_dir)
    with contextlib.ExitStack() as stack:
        stack.enter_context(exclusive(state))
        run = Run(plan, state, stack.enter_context(Signals()), say)
        changes = stack.enter_context(watching(run.signals.wake)) if plan.reload else None
        stack.callback(run.stop)
        with contextlib.suppress(Stopped):
            run.start()
            say(f"ready in {time.monotonic() - began:.1f} s\n{run.welcome()}")
            run.watch(changes)


class Run:
    """One run of `up` on an opened state directory."""

    def __init__(self, plan: Plan, state: State, signals: Signals, say: Say) -> None:
        self.signals = signals
        self._plan = plan
        self._state = state
        self._say = say
        self._supervisor = Supervisor(state.folder("run"), say, self._write_endpoints)
        self._urls: dict[str, str] = {}
        self._servers: list[str] = []
        self._groups: list[list[str]] = []  # names of processes, by Process: those of one group stop together
        self._front: socket.socket | None = None
        self._ready = False
        self._unwritten = False  # endpoints.json couldn't be

    def start(self) -> None:
        """Start everything, and write endpoints.json. Raises Stopped when a signal came first."""
        self._endpoints.unlink(missing_ok=True)
        if left := child.stop_leftovers(self._state.folder("run")):
            self._say(f"Stopped what an earlier run had left: {', '.join(left)}.")
        self._front = bind(self._plan.settings)
        self._start_servers()
        self._plan.first_steps(self._urls["database"], self._key_file)
        self._start_processes(self._front)
        self._ready = True
        self._write_endpoints()

    def watch(self, changes: Changes | None) -> None:
        """Look after the children until a signal asks to stop."""
        while not self.signals.stopping:
            self._supervisor.tick()
            if self._unwritten:
                self._write_endpoints()
            if changes is not None and (changed := changes.take()):
                self._say(f"{changed} changed: restarting {', '.join(self._processes)}")
                self._supervisor.reload(self._processes)
            looks = (self._supervisor.next_look(), changes.next_look() if changes else 60.0, WRITE_AGAIN if self._unwritten else 60.0)
            self.signals.wait(min(looks))

    def stop(self) -> None:
        """End the processes, the last started first, then the servers. A second signal leaves them little time."""
        self._ready = False
        self._endpoints.unlink(missing_ok=True)
        if self._groups or self._servers:
            self._say("stopping ...")
        for group in reversed(self._groups):
            self._supervisor.stop(group, lambda: self.signals.hurry)
        self._supervisor.stop(self._servers, lambda: self.signals.hurry)
        if self._front is not None:
            self._front.close()

    def welcome(self) -> str:
        """What a person needs first: where to look, and a line to paste."""
        url = self._http_url()
        return "\n".join((f"  dashboard  {url}/", f"  state      {self._state.directory}", f"  send       {example(url, self._key_file)}"))

    @property
    def _processes(self) -> list[str]:
        return [name for group in self._groups for name in group]

    @property
    def _endpoints(self) -> Path:
        return self._state.directory / "endpoints.json"

    @property
    def _key_file(self) -> Path:
        return self._state.directory / "admin.key"

    def _http_url(self) -> str:
        assert self._front is not None  # bound before anything runs
        host, port = reachable(self._front)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _start_servers(self) -> None:
        """Start the servers whose URL isn't set, together, and wait for all."""
        settings = self._plan.settings
        external = {name: url for name in SERVERS if (url := getattr(settings, f"{name}_url"))}
        asked = external | ({"redis_door": settings.redis_door_url} if settings.redis_door_url else {})
        check_external(asked, settings.log_durability)
        embedded: list[Server] = []
        for name, prepare in SERVERS.items():
            if name in external:
                self._urls[name] = external[name]
                continue
            self.signals.pause(0)
            server = prepare(self._state, Progress(self._say, self.signals.pause))
            embedded.append(server)
            self._urls[name] = server.url
            self._servers.append(name)
            self._supervisor.start(server.program)
        self._supervisor.wait_until_ready(self._servers, SERVERS_START, self.signals.pause)
        for server in embedded:
            server.complete()

    def _start_processes(self, front: socket.socket) -> None:
        front.listen(BACKLOG)
        for process in self._plan.processes:
            group = programs(process, self._state, self._environment(), front, self._plan.settings.fronts)
            self._groups.append([program.name for program in group])
            for program in group:
                self._supervisor.start(program)
        self._supervisor.wait_until_ready(self._processes, PROCESSES_START, self.signals.pause, ASK_EVERY)

    def _environment(self) -> dict[str, str]:
        """What every process of ours is told, beside what `up` was told itself."""
        settings = self._plan.settings
        return {
            **{f"SWITCHBOARD_{name.upper()}_URL": url for name, url in self._urls.items()},
            "SWITCHBOARD_STATE_DIR": str(self._state.directory),
            "SWITCHBOARD_SECRET_FILE": str(settings.secret_file or self._state.secret_file()),
            "SWITCHBOARD_CLUSTER": settings.cluster,
            "SWITCHBOARD_BACKBONE_CREDENTIALS": str(settings.backbone_credentials or self._state.folder("backbones", "credentials")),
            "SWITCHBOARD_BIND": settings.bind,
        }

    def _write_endpoints(self) -> None:
        if not self._ready:
            return
        content = {
            "http": self._http_url(),
            **self._urls,
            "admin_key_file": str(self._key_file),
            "pid": os.getpid(),
            "processes": self._supervisor.pids(self._processes),
            "servers": self._supervisor.pids(self._servers),
        }
        try:
            write_private(self._endpoints, json.dumps(content, indent=2) + "\n")
            self._unwritten = False
        except OSError as error:
            if not self._unwritten:
                self._say(f"{self._endpoints} can't be written, and is tried again: {error.strerror}")
            self._unwritten = True


def bind(settings: Settings) -> socket.socket:
    """The front's socket, bound and not listening yet. Raises Misconfigured, naming the port, when it can't be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.bind, settings.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Misconfigured(f"SWITCHBOARD_BIND: {settings.bind} is no address of this machine: {error.strerror}") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise Misconfigured(
            f"port {settings.port} on {settings.bind} can't be had ({error.strerror}): choose another with --port"
        ) from error
    return listening


def example(url: str, key_file: Path) -> str:
    """A curl line that sends an event, to paste into any shell."""
    headers: Iterable[str] = (
        f'"Authorization: Bearer $(cat {shlex.quote(_short(key_file))})"',
        "'ce-specversion: 1.0'",
        '"ce-id: $(date +%s)"',
        "'ce-source: /hello'",
        "'ce-type: hello.sent'",
        "'ce-subject: agent-7'",
        "'content-type: application/json'",
    )
    return f'curl -sS {url}/v1/events {" ".join(f"-H {header}" for header in headers)} -d \'{{"hello":"world"}}\''


def _short(path: Path) -> str:
    """Relative to the current folder when it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
