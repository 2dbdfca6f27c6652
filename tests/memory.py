"""Where a run's temporary folders are: in memory where the machine has the room, so that no server under test waits for a disk.

What is killed, paused or started again keeps its files there too: only a machine that stops loses them, and no test stops one.
"""

import os
from collections.abc import Iterable, MutableMapping
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  # Linux's own file system in memory
ROOM = 4 << 30  # bytes: a run's folders at their largest take a quarter of it
SPARE = 6 << 30  # bytes of memory itself, of which that file system may promise more than there is: what a run and its servers take, too
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # a container's, which counts what is in files there
ROOT = "PYTEST_DEBUG_TEMPROOT"  # pytest's own setting: the folder that its temporary folders are below


def temporary_in_memory(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let pytest make its temporary folders in memory, unless somebody says where they are to be."""
    if ROOT not in environment and has_room(MEMORY) and spare_memory() >= SPARE:
        environment[ROOT] = str(MEMORY)


def has_room(folder: Path) -> bool:
    """Whether a run's folders can be there: it is large enough, and programs may be run from it, which a container may forbid."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)


def spare_memory(system: Path = Path("/proc/meminfo"), limits: Iterable[str | Path] = LIMITS) -> int:
    """Bytes of memory that a run may take: what the machine has available, or its container's limit where that is less; 0 where neither is
    known."""
    found = [int(line.split()[1]) * 1024 for line in _lines(system) if line.startswith("MemAvailable:")]
    found += [int(line) for limit in limits for line in _lines(Path(limit)) if line.isdecimal()]  # "max" where there is none
    return min(found, default=0)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:  # not Linux, or another version of its cgroups
        return []


def in_memory(folder: Path) -> bool:
    """Whether the folder is in memory."""
    return folder.is_relative_to(MEMORY)
