"""README's quickstart, as written, in a fresh copy of the tree: each command is run, and what it prints is what README says."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.waiting import eventually_now

ROOT = Path(__file__).parents[2]
# What differs from run to run: times of day, how long something took, and where the copy is. Tables are compared without their lines.
VARIES = re.compile(
    r"(?<=  state      )/\S+(?=/\.switchboard$)|\d{4}-\d\d-\d\dT[\d:.]+Z|\b\d\d:\d\d:\d\d\.\d{3}|(?<=ready in )[\d.]+|[┏━┳┓┃┡╇┩│└┴┘─]+",
    re.MULTILINE,
)


def blocks() -> list[list[tuple[str, str]]]:
    """The console blocks of the quickstart, each as (command, output) pairs."""
    text = (ROOT / "README.md").read_text()
    quickstart = text[text.index("## Quickstart") : text.index("## What an answer means")]
    found = []
    for block in re.findall(r"```console\n(.*?)```", quickstart, re.DOTALL):
        commands = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        found.append([(command.partition("\n")[0], command.partition("\n")[2]) for command in commands])
    return found


def essence(output: str) -> str:
    return " ".join(VARIES.sub(" ", output).split())


def _heed_interrupts() -> None:
    """As in a terminal: where these tests were begun with `&`, their children would ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminals:
    """Runs commands in one directory, as a person would in terminals, with what they print in files."""

    def __init__(self, directory: Path, said: Path) -> None:
        self._directory = directory
        self._said = said
        self._running: list[subprocess.Popen[bytes]] = []
        self._logs: list[IO[bytes]] = []

    def begin(self, command: str) -> Path:
        """Start a command that goes on; the file with its output."""
        path = self._said / f"{len(self._running)}.log"
        self._logs.append(log := open(path, "wb"))  # noqa: SIM115  # closed by end()
        self._running.append(
            subprocess.Popen(
                ["bash", "-c", command],
                cwd=self._directory,
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_heed_interrupts,
            )
        )
        return path

    def run(self, command: str) -> str:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self._directory,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        ).stdout

    def end(self) -> None:
        """Ctrl-C in every terminal, the last one first."""
        try:
            for process in reversed(self._running):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGINT)
                process.wait(60)
        finally:
            for process in self._running:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
            for log in self._logs:
                log.close()

    def _environment(self) -> dict[str, str]:
        ours = ("SWITCHBOARD_", "VIRTUAL_ENV", "PYTHONPATH", "MAKE", "MFLAGS", "ARGS")  # from MAKE on they are `make test`'s own
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {"COLUMNS": "120"}


@pytest.fixture
def fresh_copy(tmp_path: Path) -> Path:
    """The tree as a clone would have it, with what isn't committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / "switchboard" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / "switchboard" / name)
    return tmp_path / "switchboard"


@pytest.fixture
def terminals(fresh_copy: Path, tmp_path: Path) -> Iterator[Terminals]:
    terminals = Terminals(fresh_copy, tmp_path)
    yield terminals
    terminals.end()


def test_quickstart_does_what_readme_says_when_run_as_written(terminals: Terminals) -> None:
    (run, watch, rest) = blocks()
    (make_run, ready), (tail, seen) = run[0], watch[0]
    up = terminals.begin(make_run)
    eventually_now(lambda: essence(ready) in essence(up.read_text()), within=600)
    watching = terminals.begin(tail)
    eventually_now(lambda: essence(watching.read_text()) == essence(seen.partition("\n")[0]))
    for command, expected in rest:
        assert essence(terminals.run(command)) == essence(expected), command
    eventually_now(lambda: essence(seen) == essence(watching.read_text()))
