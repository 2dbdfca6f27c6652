"""`switchboard up --reload`: notice that our code changed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from infra.local.processes import ROOT

FOLDERS = ("functions", "shared")
CHANGES = {"modified", "created", "moved", "deleted"}
IGNORED = {"__pycache__", ".mypy_cache", ".ruff_cache"}
QUIET = 0.2  # seconds without a change, so that an editor's several writes are one reload


class Changes(FileSystemEventHandler):
    """Collects changed files until they are taken. Watchdog's thread fills it, the main thread empties it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._last: tuple[float, Path] | None = None

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note a change, and wake whoever waits for one."""
        path = Path(str(event.dest_path or event.src_path))
        if not event.is_directory and event.event_type in CHANGES and not IGNORED & set(path.parts) and not path.name.startswith("."):
            self._last = (time.monotonic(), path)
            self._wake()

    def take(self) -> Path | None:
        """A file that changed, once all has been quiet for a moment; None while nothing did, or it isn't quiet yet."""
        last = self._last
        if last is None or time.monotonic() - last[0] < QUIET:
            return None
        self._last = None
        return last[1]

    def next_look(self) -> float:
        """Seconds until take() may have something."""
        last = self._last
        return 60.0 if last is None else max(0.0, last[0] + QUIET - time.monotonic())


@contextmanager
def watching(wake: Callable[[], None], root: Path = ROOT) -> Iterator[Changes]:
    """Watch functions/ and shared/ below `root` for the time of the block."""
    changes, observer = Changes(wake), Observer()
    for folder in FOLDERS:
        observer.schedule(changes, str(root / folder), recursive=True)
    observer.start()
    try:
        yield changes
    finally:
        observer.stop()
        observer.join()
