"""The state directory of `switchboard up`: passwords, ports and private files that outlive a run.

Everything in it is for its owner alone: directories 0700, files 0600 (contracts.md, "Settings").
"""

import contextlib
import fcntl
import hashlib
import json
import os
import random
import secrets
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.domain.errors import Misconfigured

# Below every system's ephemeral range, so that an outgoing connection never sits on a port we wrote down.
FIRST_PORT, LAST_PORT = 20_000, 31_999


@dataclass(frozen=True, slots=True)
class State:
    """An opened state directory. `directory` is absolute, and resolved."""

    directory: Path

    def folder(self, *parts: str) -> Path:
        """A private directory below the state, made when it is new."""
        path = self.directory.joinpath(*parts)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def log(self, child: str) -> Path:
        """The log file of one child."""
        return self.folder("logs") / f"{child}.log"

    def password(self, server: str) -> str:
        """The generated password of `server`: 256 bits, the same in every run."""
        passwords = self._read("passwords.json")
        if server not in passwords:
            passwords[server] = secrets.token_urlsafe(32)
            write_private(self.directory / "passwords.json", json.dumps(passwords))
        return str(passwords[server])

    def port(self, purpose: str) -> int:
        """A free loopback port, the same as in the last run while nobody else has it."""
        ports = self._read("ports.json")
        wanted = ports.get(purpose)
        if isinstance(wanted, int) and is_free(wanted):
            return wanted
        port = ports[purpose] = free_port(avoid={value for value in ports.values() if isinstance(value, int)})
        write_private(self.directory / "ports.json", json.dumps(ports))
        return port

    def secret_file(self) -> Path:
        """The keys for proofs, cursors and sessions, one a line; the first signs, all verify."""
        path = self.directory / "secret"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32) + "\n")
        return path

    def fingerprint(self) -> str:
        """A short name for this directory, for what has to live outside it."""
        return hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:12]

    def _read(self, name: str) -> dict[str, object]:
        path = self.directory / name
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise Misconfigured(f"{path} is not JSON: put back a copy of it, or move the state directory away to start afresh") from error
        if not isinstance(content, dict):
            raise Misconfigured(f"{path} is not a JSON object: put back a copy of it, or move the state directory away to start afresh")
        return content


def open_state(directory: Path) -> State:
    """Make or tighten the state directory. Raises Misconfigured when it can't be ours."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = directory.resolve(strict=True)
        if directory.stat().st_mode & 0o077:
            directory.chmod(0o700)
    except OSError as error:
        raise Misconfigured(f"the state directory {directory} can't be used: {error.strerror}") from error
    return State(directory)


@contextlib.contextmanager
def exclusive(state: State) -> Iterator[None]:
    """Hold the state directory for this process. Raises Misconfigured, naming the holder's pid, while another has it."""
    descriptor = os.open(state.directory / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = lock.read().strip() or "unknown"
            raise Misconfigured(f"`switchboard up` already runs on {state.directory}, with pid {holder}") from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
        lock.truncate(0)


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` (0600), so that a reader or a crash sees the old file or the new one, whole."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(avoid: set[int]) -> int:
    """A loopback port nobody listens on, and not one of `avoid`."""
    choices = random.SystemRandom()
    for _ in range(1_000):
        port = choices.randint(FIRST_PORT, LAST_PORT)
        if port not in avoid and is_free(port):
            return port
    raise Misconfigured(f"no free loopback port between {FIRST_PORT} and {LAST_PORT}")
