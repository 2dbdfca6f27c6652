"""The provider `local`: backbones as nats-server processes of this machine, by the very nats.conf that the chart gives a cluster.

They are children of the process that looks after them, and end with it; their data stay, and they are started again on the same ports.
"""

import asyncio
import contextlib
import json
import logging
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from infra.local import child
from infra.local.backbone_conf import Joined, Renderer, auth_conf
from infra.local.child import Program
from infra.local.nats import USER, binary
from infra.local.state import State, open_state, write_private
from shared.domain.errors import Misconfigured
from shared.domain.registry.deploying import Deployment, Ensured, Found, Hub, Undeployed
from shared.domain.registry.shapes import Leaf

ASKED_WITHIN = 2.0  # seconds for one question to a server's monitoring
UP_WITHIN = 20.0  # seconds that a server is given before the next one is rolled
TICK = 0.05
Process = subprocess.Popen[bytes]
PORTS = ("client", "monitor", "route", "leaf")
NONE_KEPT = httpx.Limits(max_keepalive_connections=0)  # the pool looks at each connection it keeps for every request

logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for every call


@dataclass
class Servers:
    """The servers of one backbone, as they run. `conf` is what they were started with, `versions` what they said they are, by pid."""

    conf: str
    ports: list[dict[str, int]]
    running: dict[int, tuple[Program, Process]] = field(default_factory=dict)
    versions: dict[int, str] = field(default_factory=dict)


class LocalBackbones:
    """The Provider. `folder` has a folder for each backbone; `credentials` gets a file for each, named by its id."""

    def __init__(self, folder: Path, credentials: Path, helm: str | None = None) -> None:
        self._state = open_state(folder)
        self._credentials = credentials
        self._renderer = Renderer(self._state.folder("rendered"), helm)
        self._known: dict[str, Servers] = {}
        self._http = httpx.AsyncClient(timeout=ASKED_WITHIN, trust_env=False, limits=NONE_KEPT)

    async def start(self) -> None:
        """End what an earlier process left running: two servers on one folder would ruin it."""
        await asyncio.to_thread(child.stop_leftovers, self._state.folder("run"))

    async def stop(self) -> None:
        """End all servers."""
        await asyncio.gather(*map(self.let_go, list(self._known)))
        await self._http.aclose()

    async def ensure(self, wanted: Deployment) -> Ensured:
        home = self._home(wanted.id)
        count = wanted.spec.replicas
        known = self._known.get(wanted.id)
        ports = self._ports(home, count, known)
        conf = await self._renderer.conf(
            wanted,
            home.directory,
            [f"127.0.0.1:{each['route']}" for each in ports],
            [self._joined(wanted, hub) for hub in _reached(wanted)],
        )
        first = known is None
        servers = self._known.setdefault(wanted.id, Servers("", ports))
        drift = "" if first else await self._drift(home, servers)
        changed = servers.conf != conf
        if changed or drift or not (home.directory / "nats.conf").exists():
            self._write(home, wanted, conf)
        await self._roll(home, servers, ports, again=changed or "nats.conf" in drift)
        servers.conf, servers.ports = conf, ports
        return Ensured(changed or bool(drift), drift)

    async def look(self, wanted: Deployment) -> Found:
        servers = self._known[wanted.id]
        found = await asyncio.gather(*(self._version(servers, number) for number in range(len(servers.ports))))
        up = [version for version in found if version is not None]
        down = next((number for number, version in enumerate(found) if version is None), None)
        problem = "" if down is None else _last_words(self._log(wanted.id, down))
        endpoint = ",".join(f"nats://127.0.0.1:{each['client']}" for each in servers.ports)
        takes_leaves = bool(wanted.values.get("leafnodes", {}).get("enabled"))
        leaves = ",".join(f"nats-leaf://127.0.0.1:{each['leaf']}" for each in servers.ports) if takes_leaves else ""
        return Found(len(up), up[0] if up else None, endpoint, Leaf(leaves, leaves), problem)

    async def remove(self, wanted: Deployment) -> bool:
        await self.let_go(wanted.id)
        folder = self._state.directory / wanted.id
        if folder.exists():
            await asyncio.to_thread(shutil.rmtree, folder)
        for left in (self._credentials / wanted.id, *self._state.folder("logs").glob(f"{wanted.id}-[0-9].log*")):
            left.unlink(missing_ok=True)
        return True

    async def let_go(self, id: str) -> None:
        servers = self._known.pop(id, None)
        if servers is not None:
            await asyncio.gather(*(self._end(*servers.running.pop(number)) for number in list(servers.running)))

    def pids(self, id: str) -> list[int]:
        """The processes of a backbone."""
        known = self._known.get(id)
        return [] if known is None else [process.pid for _, process in known.running.values()]

    def _home(self, id: str) -> State:
        return open_state(self._state.folder(id))

    def _log(self, id: str, number: int) -> Path:
        return self._state.log(f"{id}-{number}")

    def _ports(self, home: State, count: int, known: Servers | None) -> list[dict[str, int]]:
        """The ports of each server: those it runs on, else the ones it had, where they are free."""
        kept = [] if known is None else known.ports[:count]
        return kept + [{name: home.port(f"{name}-{number}") for name in PORTS} for number in range(len(kept), count)]

    def _joined(self, wanted: Deployment, hub: Hub) -> Joined:
        """A hub of this machine is known here, with its password, unless it asks for a token."""
        if hub.id in wanted.trust.hubs:
            return Joined(tuple(urlsplit(url).netloc for url in hub.urls), by_file=True)
        if not (self._state.directory / hub.id).exists():
            raise Undeployed("NoHub", f"the hub {hub.id} isn't on this machine")
        password = self._home(hub.id).password("nats")
        return Joined(tuple(f"{USER}:{password}@{urlsplit(url).netloc}" for url in hub.urls))

    def _write(self, home: State, wanted: Deployment, conf: str) -> None:
        auth, login = self._auth(home, wanted)
        write_private(home.folder("auth") / "auth.conf", auth)
        for number, hub in enumerate(_reached(wanted)):
            if hub.id in wanted.trust.hubs:
                write_private(home.folder("remotes", str(number)) / "creds", wanted.trust.hubs[hub.id].file())
        write_private(home.directory / "nats.conf", conf)
        self._credentials.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._credentials / wanted.id, login)

    def _auth(self, home: State, wanted: Deployment) -> tuple[str, str]:
        """Whom the servers let in, and how Switchboard's processes sign in: with a password where it has no keys, because it was declared
        before there were any. What it holds is in the account of who signs in so, and stays there."""
        if wanted.trust.server is not None:
            return auth_conf(wanted.trust.server), wanted.trust.login.file()
        password = home.password("nats")
        return f"authorization {{ user: {USER}, password: {json.dumps(password)} }}\n", f"{USER}:{password}\n"

    async def _drift(self, home: State, servers: Servers) -> str:
        """What somebody else did: a server that ended, a configuration that isn't ours."""
        ended = [
            f"{program.name} had ended with code {process.poll()}"
            for program, process in servers.running.values()
            if process.poll() is not None
        ]
        with contextlib.suppress(FileNotFoundError):
            if (home.directory / "nats.conf").read_text() == servers.conf:
                return ", ".join(ended)
        return ", ".join([*ended, "its nats.conf had been changed"])

    async def _roll(self, home: State, servers: Servers, ports: list[dict[str, int]], *, again: bool) -> None:
        """Every server runs, with the configuration as it is written now; one after the other, so that a majority stays."""
        for number in [number for number in servers.running if number >= len(ports)]:
            await self._end(*servers.running.pop(number))
        fresh = not servers.running
        for number, each in enumerate(ports):
            running = servers.running.get(number)
            if running is not None and running[1].poll() is None and not again:
                continue
            if running is not None:
                await self._end(*servers.running.pop(number))
            program = self._program(home, number, each)
            try:
                process = child.spawn(program)  # in the main thread: its end is the server's
            except Misconfigured as error:
                raise Undeployed("CantStart", error.detail) from error
            child.remember(self._state.folder("run"), program, process.pid)
            servers.running[number] = program, process
            servers.versions.pop(process.pid, None)
            if not fresh:
                await self._until_up(servers, number, process)

    async def _until_up(self, servers: Servers, number: int, process: Process) -> None:
        """Wait for it, but not for ever: whether it is up is said by look()."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UP_WITHIN):
                while process.poll() is None and await self._version(servers, number) is None:  # noqa: ASYNC110  # another process
                    await asyncio.sleep(TICK)

    async def _end(self, program: Program, process: Process) -> None:
        await asyncio.to_thread(child.stop, program, process)
        child.forget(self._state.folder("run"), program)

    def _program(self, home: State, number: int, ports: dict[str, int]) -> Program:
        name = f"{home.directory.name}-{number}"
        environment = {"SERVER_NAME": name, "STORE_DIR": json.dumps(str(home.folder(f"server-{number}")))}
        environment["RESOLVER_DIR"] = json.dumps(str(home.folder(f"server-{number}", "accounts")))
        environment |= {f"{part.upper()}_LISTEN": json.dumps(f"127.0.0.1:{port}") for part, port in ports.items()}
        command = (str(binary()), "-c", str(home.directory / "nats.conf"))
        return Program(name, command, home.directory, self._log(home.directory.name, number), lambda: True, environment)

    async def _version(self, servers: Servers, number: int) -> str | None:
        """The version of a server that is up: JetStream too, with every stream that it had; None of one that isn't."""
        running = servers.running.get(number)
        if running is None:
            return None
        pid, monitor = running[1].pid, servers.ports[number]["monitor"]
        try:
            health = await self._http.get(f"http://127.0.0.1:{monitor}/healthz")
            if health.status_code != httpx.codes.OK:
                return None
            if pid not in servers.versions:
                servers.versions[pid] = str((await self._http.get(f"http://127.0.0.1:{monitor}/varz")).json()["version"])
            return servers.versions[pid]
        except (httpx.HTTPError, ValueError, KeyError):
            return None


def _reached(wanted: Deployment) -> list[Hub]:
    """The hubs that it is joined to."""
    return [hub for hub in wanted.hubs if hub.urls]


def _last_words(log: Path) -> str:
    """The last thing a server said that is an error; it says no passwords."""
    with contextlib.suppress(OSError):
        lines = log.read_bytes()[-8192:].decode(errors="replace").splitlines()
        errors = [line for line in lines if "[ERR]" in line or "[FTL]" in line or line.startswith("nats-server:")]
        return errors[-1][-300:] if errors else ""
    return ""
