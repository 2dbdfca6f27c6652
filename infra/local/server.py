"""What the three embedded servers have in common: a program to supervise, and the URL it serves under."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.local.child import Pause, Program

Say = Callable[[str], None]  # tells a person, in one line, what takes time or what is missing


@dataclass(frozen=True, slots=True)
class Progress:
    """What a slow step may call: `say` to explain the wait, `pause` while it lasts (it raises when the wait should be given up)."""

    say: Say
    pause: Pause


SILENT = Progress(lambda _: None, time.sleep)  # for callers that show nothing and wait to the end


def nothing_more() -> None:
    """A `complete` for servers that need nothing after they answer."""


@dataclass(frozen=True, slots=True)
class Server:
    """An embedded server, prepared: its files are written, it isn't running. `url` has its credentials.

    `complete` is called once it answers, and makes what can only be made on a running server.
    """

    program: Program
    url: str
    complete: Callable[[], None] = nothing_more


def listens(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def quoted(path: Path) -> str:
    """A path as a string of valkey.conf and of NATS's configuration, which share these escapes."""
    return '"' + os.fspath(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
