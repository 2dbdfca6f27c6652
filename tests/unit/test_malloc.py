"""What glibc's malloc is told is the same wherever our processes run."""

import socket
from pathlib import Path

import pytest

from infra.local.processes import MALLOC, PROCESSES, programs
from infra.local.state import State

DOCKERFILE = Path(__file__).parents[2] / "infra" / "images" / "Dockerfile"


def test_image_says_to_malloc_what_switchboard_up_does() -> None:
    told = dict(line.strip().rstrip(" \\").split("=") for line in DOCKERFILE.read_text().splitlines() if "MALLOC_" in line and "=" in line)
    assert told == MALLOC


def test_users_own_word_to_malloc_stands_when_switchboard_up_starts_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trim, mmap = MALLOC
    monkeypatch.setenv(trim, "131072")
    monkeypatch.delenv(mmap, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as front:
        started = [program for process in PROCESSES for program in programs(process, State(tmp_path), {}, front, 1)]
    assert [(trim in program.environment, program.environment[mmap]) for program in started] == [(False, MALLOC[mmap])] * len(PROCESSES)
