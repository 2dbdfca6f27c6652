"""Where a run's temporary folders are: in memory where the machine has the room, so that no server under test waits for a disk.

What is killed, paused or started again keeps its files there too: only a machine that stops loses them, and no test stops one.
"""

import os
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  # Linux's own file system in memory
ROOM = 4 << 30  # bytes: a run's folders at their largest take a quarter of it
ROOT = "PYTEST_DEBUG_TEMPROOT"  # pytest's own setting: the folder that its temporary folders are below


def temporary_in_memory() -> None:
    """Let pytest make its temporary folders in memory, unless somebody says where they are to be."""
    if ROOT not in os.environ and has_room(MEMORY):
        os.environ[ROOT] = str(MEMORY)


def has_room(folder: Path) -> bool:
    """Whether a run's folders can be there: it is large enough, and programs may be run from it, which a container may forbid."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)


def in_memory(folder: Path) -> bool:
    """Whether the folder is in memory."""
    return folder.is_relative_to(MEMORY)
