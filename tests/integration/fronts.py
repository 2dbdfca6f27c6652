"""The front as a process of its own, on real servers, for tests that speak HTTP to it from outside."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx

from shared.adapters.postgres import PostgresConfigStore
from shared.domain.principal import Grant, Principal
from tests.waiting import eventually_now

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "infra.local.front")


@dataclass
class FrontProcess:
    """A running front, or another server of ours. `key` is an admin's of `org`."""

    process: "subprocess.Popen[bytes]"
    port: int
    org: str
    key: str
    log: Path

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    @cached_property
    def client(self) -> httpx.Client:
        """A client with the key, closed with the front. One for all: each new one reads the machine's certificates again."""
        return httpx.Client(base_url=self.url, headers=self.bearer, timeout=30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> bool:
        """Whether /readyz answers 200."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def degraded(self) -> list[str]:
        """What /readyz says is lost."""
        names: list[str] = self.client.get("/readyz").json()["degraded"]
        return names

    def raw(self, *parts: bytes, answers: int | None = None) -> bytes:
        """Everything that comes back for these bytes, each part sent alone, until the server closes, or has given so many answers."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answer = b""
            try:
                for part in parts:
                    connection.sendall(part)
                while answers is None or whole_answers(answer) < answers:
                    received = connection.recv(65536)
                    if not received:
                        return answer + b"<closed>"
                    answer += received
                return answer
            except ConnectionError:
                return answer + b"<reset>"


def whole_answers(received: bytes) -> int:
    """How many answers have come; each says its length."""
    count, begin = 0, 0
    while (end := received.find(b"\r\n\r\n", begin)) >= 0:
        length = int(received[begin:end].lower().split(b"content-length:")[1].split(b"\r\n")[0])
        begin = end + 4 + length
        count += begin <= len(received)
    return count


def listener() -> socket.socket:
    """A listening socket to hand to a front: connections wait in it from now on."""
    return socket.create_server(("127.0.0.1", 0), backlog=256)


async def new_key(database: str, org: str, name: str = "tester", grants: Sequence[Grant] = (Grant("admin"),)) -> str:
    """The key of a new principal."""
    config = PostgresConfigStore(database)
    await config.start()
    try:
        await config.put_principal(Principal(name, org, tuple(grants)), "test")
        _, key = await config.create_key(org, name, "test")
        return key
    finally:
        await config.stop()


def environment(directory: Path, redis: str, nats: str, database: str) -> dict[str, str]:
    """The settings of a process with its state in the directory."""
    secret = directory / "secret"
    secret.write_bytes(b"s" * 48)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SWITCHBOARD_", "K_", "PORT"))},
        "PYTHONPATH": str(ROOT),
        "SWITCHBOARD_STATE_DIR": str(directory / "state"),
        "SWITCHBOARD_SECRET_FILE": str(secret),
        "SWITCHBOARD_REDIS_URL": redis,
        "SWITCHBOARD_NATS_URL": nats,
        "SWITCHBOARD_DATABASE_URL": database,
        "SWITCHBOARD_LOG_WAIT": "20",  # a disk that others write to at the same time was seen to take half a minute for an fsync
    }


@contextmanager
def fronting(
    directory: Path,
    settings: dict[str, str],
    org: str,
    key: str | None = None,
    command: Sequence[str] = COMMAND,
    listening: socket.socket | None = None,
    whole: bool = True,
) -> Iterator[FrontProcess]:
    """A front on a socket handed to it, for the time of the block. Ready when the block begins; `whole`: with all that it needs, too, which
    it doesn't wait for by itself, or not for long. Ended by SIGTERM."""
    key = key or asyncio.run(new_key(settings["SWITCHBOARD_DATABASE_URL"], org))
    own = listening or listener()
    log = directory / "front.log"
    handed = {"SWITCHBOARD_FRONT_FD": str(own.fileno())}
    with open(log, "ab") as output:
        process = subprocess.Popen(command, env=settings | handed, pass_fds=(own.fileno(),), stdout=output, stderr=output, cwd=ROOT)
    front = FrontProcess(process, own.getsockname()[1], org, key, log)
    try:
        eventually_now(lambda: front.ready() and not (whole and front.degraded()))
        yield front
    finally:
        front.client.close()
        stop(process)
        if listening is None:
            own.close()


def stop(process: "subprocess.Popen[bytes]") -> int:
    """SIGTERM, and the exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    return process.wait(60)
