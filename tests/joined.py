"""A hub and a leaf that is joined to it, as bare NATS servers with two JetStream domains."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from infra.local.child import Program
from infra.local.nats import binary, healthy
from infra.local.server import Server, listens, quoted
from infra.local.state import State
from tests.servers import LocalServer

HUB, LEAF = "hub", "leaf"
OWN = '["sb.>", "submit.>", "request.>"]'  # crosses no leaf connection

CONFIGURATION = """\
server_name: {name}
listen: 127.0.0.1:{port}
http: 127.0.0.1:{monitor}
jetstream {{ store_dir: {store}, domain: {name}, max_file_store: 16GB }}
leafnodes {{ {leafnodes} }}
"""


class Joined(NamedTuple):
    """Both servers; `store` is where the hub has its streams."""

    hub: LocalServer
    leaf: LocalServer
    store: Path

    def keep_store(self, folder: Path) -> None:
        """Copy what the hub has."""
        self.hub.stop()
        shutil.copytree(self.store, folder)
        self.hub.start()

    def restore(self, folder: Path) -> None:
        """The hub crashes, and comes back with what it had when it was copied."""
        self.hub.kill()
        shutil.rmtree(self.store)
        shutil.copytree(folder, self.store)
        self.hub.start()


@contextmanager
def joined(folder: Path) -> Iterator[Joined]:
    """Both, for the time of the block."""
    hub = LocalServer(partial(_prepared, HUB, None), folder / HUB)
    port = hub.server.program.environment["LEAF_PORT"]
    leaf = LocalServer(partial(_prepared, LEAF, int(port)), folder / LEAF)
    try:
        hub.start()
        leaf.start()
        yield Joined(hub, leaf, hub.server.program.directory / "data")
    finally:
        leaf.stop()
        hub.stop()


def _prepared(name: str, hub: int | None, state: State) -> Server:
    port, monitor, leaves = (state.port(f"{name}{what}") for what in ("", "-monitor", "-leaves"))
    home, store = state.folder(name), state.folder(name, "data")
    remote = f"remotes: [{{ url: nats-leaf://127.0.0.1:{hub}, deny_imports: {OWN}, deny_exports: {OWN} }}]"
    leafnodes = f"listen: 127.0.0.1:{leaves}" if hub is None else remote
    conf = CONFIGURATION.format(name=name, port=port, monitor=monitor, store=quoted(store), leafnodes=leafnodes)
    (home / "nats.conf").write_text(conf)
    program = Program(
        name=name,
        command=(str(binary()), "-c", str(home / "nats.conf")),
        directory=home,
        log=state.log(name),
        ready=lambda: listens(port) and healthy(monitor),
        environment={"LEAF_PORT": str(leaves)},
    )
    return Server(program, f"nats://127.0.0.1:{port}")
