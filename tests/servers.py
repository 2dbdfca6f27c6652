"""The real servers of a test run, from infra.local: started once, on free loopback ports, in a temporary state directory."""

import itertools
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis

from infra.local import child, nats, postgres, valkey
from infra.local.server import Server
from infra.local.state import State, open_state
from shared.domain.errors import Unavailable
from tests.ports import SERVERS, give_ports

START = 60.0  # seconds
REDIS_DATABASES = 64


class LocalServer:
    """One embedded server. Tests of faults kill, pause and start it again; it comes back with its data under the same URL."""

    def __init__(self, prepare: Callable[[State], Server], directory: Path) -> None:
        give_ports(directory, SERVERS)
        self.server = prepare(open_state(directory))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def log(self) -> Path:
        return self.server.program.log

    def start(self) -> None:
        """Run it, and return once it answers. Tried again for a while: a killed PostgreSQL's last backends may still be there."""
        deadline = time.monotonic() + START
        while True:
            self.process = child.spawn(self.server.program)
            try:
                child.wait_until_ready(self.server.program, self.process, within=START)
                break
            except Unavailable:
                if time.monotonic() > deadline or self.process.poll() is None:
                    raise
        self.server.complete()

    def stop(self) -> None:
        """In good order; nothing happens when it doesn't run."""
        if self.process is not None:
            self.resume()
            child.stop(self.server.program, self.process)
            self.process = None

    def kill(self) -> None:
        """SIGKILL, as a crash does it."""
        assert self.process is not None
        child.kill(self.process)
        self.process = None

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing. Returns once all its threads have stopped: one of them may still answer
        for a while on a busy machine."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """SIGCONT, after pause()."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def running(kind: str, directory: Path) -> Iterator[LocalServer]:
    """A server for the time of the block; `kind` is `redis`, `nats` or `database`."""
    server = LocalServer(PREPARE[kind], directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()


class RedisDatabases:
    """Gives each test a logical database of one server for its own, emptied."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.cycle(range(REDIS_DATABASES))

    def fresh(self) -> str:
        """The URL of an empty database."""
        url = urlunsplit(urlsplit(self._url)._replace(path=f"/{next(self._numbers)}"))
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        return url


class Databases:
    """Gives each test a PostgreSQL database of its own. `copying`: how the server copies one, "file_copy" being the quicker in memory,
    and "wal_log" on a disk: a tenth of a second each, or a second."""

    def __init__(self, url: str, copying: Literal["file_copy", "wal_log"] = "wal_log") -> None:
        self._url, self._copying = url, copying

    def url_of(self, name: str) -> str:
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))

    def create(self, template: str = "template1") -> str:
        """A new database, a copy of `template`; its name."""
        name = f"t_{secrets.token_hex(6)}"
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY {self._copying}')
        return name

    def close(self, name: str) -> None:
        """Let nobody in, so that it can be copied."""
        self._run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')

    def drop(self, name: str) -> None:
        """Remove it, whoever is still connected."""
        self._run(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def temporary(self, template: str = "template1") -> Iterator[str]:
        """The URL of a new database, dropped after the block."""
        name = self.create(template)
        try:
            yield self.url_of(name)
        finally:
            self.drop(name)


def add_timescaledb(database_url: str) -> bool:
    """Install the extension where the server has it. Whether it has."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone():
            return False
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    return True


PREPARE: dict[str, Callable[[State], Server]] = {"redis": valkey.prepare, "nats": nats.prepare, "database": postgres.prepare}
