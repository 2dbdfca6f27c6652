"""The install's secret: keys for proofs, cursors and sessions, one a line of SWITCHBOARD_SECRET_FILE. The first signs, all verify.

A change of the file is seen within a second, so keys are rotated without a restart: append the new one, make it the first, remove the
old one, each once every process has seen the step before. On Kubernetes a Secret's volume changes in place, by a symbolic link.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import overload

from shared.domain.errors import Misconfigured

SHORTEST_KEY = 32  # bytes
LOOK_S = 1.0  # between two looks at the file
_VARIABLE = "SWITCHBOARD_SECRET_FILE"

log = logging.getLogger(__name__)

_Seen = tuple[int, int, int]  # when it was changed, which file it is, how long


class SecretKeys(Sequence[bytes]):
    """The keys as the file says now. One that can't be read any more, or holds a weak key, is warned of, and the keys before stay.

    Raises Misconfigured where the file is no good at first.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = monotonic) -> None:
        self._path, self._clock = path, clock
        self._seen: _Seen | None = _seen(path)
        self._keys = read_keys(path)
        self._next = clock() + LOOK_S

    @property
    def now(self) -> tuple[bytes, ...]:
        """The keys in force, the one that signs first."""
        time = self._clock()
        if time >= self._next:
            self._next = time + LOOK_S
            self._look()
        return self._keys

    def _look(self) -> None:
        seen = _seen(self._path)
        if seen == self._seen:
            return
        self._seen = seen  # before it is read: what is written meanwhile is another file, or another time
        try:
            self._keys = read_keys(self._path)
        except Misconfigured as error:
            log.warning("the keys before stay in force: %s", error.detail)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[bytes, ...]: ...

    def __getitem__(self, index: int | slice) -> bytes | tuple[bytes, ...]:
        return self.now[index]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.now)

    def __len__(self) -> int:
        return len(self.now)

    def __repr__(self) -> str:
        return f"SecretKeys({self._path})"


def read_keys(path: Path) -> tuple[bytes, ...]:
    """The keys of a file. Raises Misconfigured, which shows none of them."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise Misconfigured(f"{_VARIABLE}: {path} can't be read: {error.strerror}") from error
    keys = tuple(key for line in lines if (key := line.strip()))
    if not keys or min(map(len, keys)) < SHORTEST_KEY:
        raise Misconfigured(f"{_VARIABLE}: {path} must hold keys of at least {SHORTEST_KEY} characters, one a line")
    return keys


def _seen(path: Path) -> _Seen | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
