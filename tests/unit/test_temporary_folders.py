"""Whether a run's temporary folders may be in memory: a container may have less of it than the file system promises."""

from pathlib import Path

import pytest

from tests import memory
from tests.memory import ROOT, spare_memory, temporary_in_memory

GIB = 1 << 30


def machine(folder: Path, available: int, *limits: str) -> int:
    """What a run may take on a machine with so many GiB available, in a container with these limits."""
    system = folder / "meminfo"
    system.write_text(f"MemTotal: 99 kB\nMemFree: 7 kB\nMemAvailable: {available * GIB // 1024} kB\nBuffers: 3 kB\n")
    files = [folder / f"limit-{number}" for number in range(len(limits))]
    for file, limit in zip(files, limits, strict=True):
        file.write_text(limit + "\n")
    return spare_memory(system, [*files, folder / "of-another-version"])


@pytest.mark.parametrize(
    ("limits", "spare"), [((), 8), (("max",), 8), ((str(2 * GIB),), 2), ((str(2**63 - 4096),), 8), (("max", str(GIB)), 1)]
)
def test_a_container_s_limit_counts_when_it_is_less_than_the_machine_has(tmp_path: Path, limits: tuple[str, ...], spare: int) -> None:
    assert machine(tmp_path, 8, *limits) == spare * GIB


def test_nothing_is_spare_when_nobody_says_how_much(tmp_path: Path) -> None:
    assert spare_memory(tmp_path / "none", []) == 0


@pytest.mark.parametrize(("spare", "room", "where"), [(8, True, {ROOT: "/dev/shm"}), (2, True, {}), (8, False, {})])  # noqa: S108
def test_folders_are_in_memory_when_there_is_room_and_memory(
    monkeypatch: pytest.MonkeyPatch, spare: int, room: bool, where: dict[str, str]
) -> None:
    monkeypatch.setattr(memory, "spare_memory", lambda: spare * GIB)
    monkeypatch.setattr(memory, "has_room", lambda folder: room)
    environment: dict[str, str] = {}
    temporary_in_memory(environment)
    assert environment == where


def test_folders_are_where_somebody_says_when_there_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "spare_memory", lambda: 99 * GIB)
    environment = {ROOT: "/elsewhere"}
    temporary_in_memory(environment)
    assert environment == {ROOT: "/elsewhere"}
