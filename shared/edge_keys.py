"""Keys of edges' own, at the hub: a folder (a mounted Secret) with a file for each, by its cluster's name and in a secret file's form.

Such an edge doesn't have the install's secret, which signs cursors, sessions and every cluster's batches: with its own it can ask the hub
what edges ask, and hand over batches of its own cluster alone. A change of the folder is seen within a second; an edge whose file goes is
refused from then on.
"""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from shared.domain.errors import Misconfigured
from shared.secret import LOOK_S, SecretKeys

log = logging.getLogger(__name__)

_NAME = re.compile("[a-z0-9][a-z0-9-]{0,39}")  # a cluster's; what else is in a Secret's volume is Kubernetes' own


class EdgeKeys:
    """The keys in the folder; none where it is None or isn't there. A file that can't be read, or holds a weak key, gives none, and is
    warned of."""

    def __init__(self, folder: Path | None, clock: Callable[[], float] = monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._edges: dict[str, SecretKeys] = {}
        self._unfit: dict[str, str] = {}
        self._next = clock()

    def of(self, cluster: str) -> tuple[bytes, ...]:
        """The keys of one edge: for what it says in its cluster's name."""
        self._look()
        return self._edges[cluster].now if cluster in self._edges else ()

    def all(self) -> tuple[bytes, ...]:
        """Those of every edge: for what any of them may ask."""
        self._look()
        return tuple(key for keys in self._edges.values() for key in keys.now)

    def _look(self) -> None:
        time = self._clock()
        if self._folder is None or time < self._next:
            return
        self._next = time + LOOK_S
        try:
            files = {file.name: file for file in self._folder.iterdir() if _NAME.fullmatch(file.name) and file.is_file()}
        except FileNotFoundError:
            files = {}
        except OSError as error:  # no word on who is let in: a moment without file descriptors would end all edges
            log.warning("the folder of edges' keys can't be read: %s", error.strerror)
            return
        self._edges = {name: keys for name, keys in self._edges.items() if name in files}
        for name in files.keys() - self._edges.keys():
            self._take(name, files[name])

    def _take(self, name: str, file: Path) -> None:
        try:
            self._edges[name] = SecretKeys(file, self._clock)
        except Misconfigured as error:
            if self._unfit.get(name) != error.detail:
                self._unfit[name] = error.detail
                log.warning("the edge %s is refused: %s", name, error.detail)
        else:
            self._unfit.pop(name, None)
