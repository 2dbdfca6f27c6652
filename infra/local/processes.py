"""Our own processes, as `switchboard up` runs them. A new one is a line in PROCESSES."""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import shared
from infra.local.child import Program
from infra.local.state import State

ROOT = Path(str(shared.__file__)).resolve().parents[1]  # of the checkout or the installed packages

# glibc's malloc gives the kernel back what is free at the end of its heap from 128 KiB on, and asks it for larger blocks one by one. A
# flush is half a megabyte, several times a turn: its pages were made anew each time. So up to 32 MiB are kept. infra/images/Dockerfile
# says the same.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(32 << 20), "MALLOC_MMAP_THRESHOLD_": str(8 << 20)}


@dataclass(frozen=True, slots=True)
class Process:
    """`module` is run with `python -m`. It serves HTTP, /readyz among it: on the front's socket, or on a PORT of its own.

    `grace` is how many seconds it may take to drain.
    """

    name: str
    module: str
    is_front: bool = False
    grace: float = 25.0  # more than the 20 s they give themselves (shared/edge/server.py)


# Started in this order, stopped in the other.
PROCESSES = (
    Process("reconcile", "infra.local.reconcile"),  # its backbones are there until the others have ended
    Process("logger", "functions.logger.main"),
    Process("nats_source", "functions.nats_source.main"),
    Process("redis_source", "functions.redis_source.main"),
    Process("front", "infra.local.front", is_front=True),
)


def programs(process: Process, state: State, environment: Mapping[str, str], front: socket.socket, fronts: int) -> list[Program]:
    """How this process is run: once, or `fronts` times on the one socket for the front.

    The front inherits the listening socket (SWITCHBOARD_FRONT_FD), which stays open while it restarts: nobody is refused.
    """
    if not process.is_front:
        port = state.port(process.name)
        return [_program(process, process.name, state, {**environment, "PORT": str(port)}, ("127.0.0.1", port))]
    address = reachable(front)
    own = {**environment, "PORT": str(address[1]), "SWITCHBOARD_FRONT_FD": str(front.fileno())}
    names = [process.name, *(f"{process.name}-{number}" for number in range(2, fronts + 1))]
    return [_program(process, name, state, own, address, (front.fileno(),)) for name in names]


def _program(
    process: Process, name: str, state: State, environment: Mapping[str, str], address: tuple[str, int], inherited: tuple[int, ...] = ()
) -> Program:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return Program(
        name=name,
        command=(sys.executable, "-m", process.module),
        directory=Path.cwd(),
        log=state.log(name),
        ready=lambda: is_ready(address),
        environment={**untold(os.environ), **environment, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        grace=process.grace,
        inherited=inherited,
    )


def untold(environment: Mapping[str, str]) -> dict[str, str]:
    """What malloc is told of what nobody told it in that environment, which our processes inherit."""
    return {name: value for name, value in MALLOC.items() if name not in environment}


def is_ready(address: tuple[str, int]) -> bool:
    """Whether GET /readyz answers 200 there."""
    connection = HTTPConnection(*address, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def reachable(listening: socket.socket) -> tuple[str, int]:
    """The address under which this machine reaches a listening socket: loopback for one that is bound to every address."""
    host, port = listening.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104  # compared with, not bound to
