"""Ports for servers that are started a moment later, or again: nobody else's meanwhile, in whichever process of whichever run.

What the kernel gives for port 0 is free until the socket is closed: by the time a server has started, it may be another's. So these are
below the kernel's own range and below the product's (infra/local/state.py), and each is claimed in a file that all runs of a user share.
"""

import fcntl
import json
import os
import random
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from infra.local.state import is_free, write_private

FIRST, LAST = 10_000, 19_999
SERVERS = ("redis", "nats", "nats-monitor", "database")
PROCESSES = ("reconcile", "logger", "nats_source", "redis_source")


def free_port() -> int:
    """A loopback port that nobody listens on, and that is given to nobody else before this process ends."""
    untried = _untried()
    while untried:
        port = untried.pop()
        if is_free(port) and _claim(port):
            return port
    raise AssertionError(f"no port between {FIRST} and {LAST} is left")


def give_ports(state: Path, purposes: Iterable[str]) -> None:
    """Ports for what runs on a state directory, where it has none yet: as if they had been an earlier run's."""
    state.mkdir(parents=True, exist_ok=True)
    ports = state / "ports.json"
    if not ports.exists():
        write_private(ports, json.dumps({purpose: free_port() for purpose in purposes}))


@cache
def _untried() -> list[int]:
    """In another order in each process: few ask for the same ones."""
    ports = list(range(FIRST, LAST + 1))
    random.SystemRandom().shuffle(ports)
    return ports


@cache
def _claims() -> int:
    """The file of claims, with a byte for each port, locked by whom the port is given to. Kept open: a process's locks on a file go when it
    closes any descriptor of it."""
    return os.open(Path(tempfile.gettempdir(), f"switchboard-test-ports-{os.getuid()}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _claim(port: int) -> bool:
    try:
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True
