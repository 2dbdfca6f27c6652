"""A server whose files are an older copy of what they were: what a failover to a replica that lags, or a restored backup, looks like."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.servers import LocalServer


def older_copy(server: LocalServer, directory: Path) -> Callable[[], None]:
    """Copies a Valkey's files as they are now. What puts that copy in their place, the server killed and started again."""
    (files,) = server.log.parents[1].rglob("appendonlydir")
    copy = directory / "copy"
    server.pause()
    shutil.copytree(files, copy)
    server.resume()

    def fail_over() -> None:
        server.kill()
        shutil.rmtree(files)
        shutil.copytree(copy, files)
        server.start()

    return fail_over
