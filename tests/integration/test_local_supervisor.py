"""What the supervisor does with children that end, that don't want to end, and that change."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import child
from infra.local.child import Program, birth
from infra.local.reload import watching
from infra.local.signals import Signals, Stopped
from infra.local.state import open_state
from infra.local.supervisor import FAILURES, Supervisor
from infra.local.up import Plan, Run, bind
from shared.domain.errors import Misconfigured, Unavailable
from shared.settings import Settings
from tests.waiting import eventually_now


class Watched:
    """A supervisor whose words and changes are written down."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said: list[str] = []
        self.changes = 0
        self.supervisor = Supervisor(directory, self.said.append, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def start(self, script: str, grace: float = 5.0) -> int:
        """Run a Python script as the child `it`; its pid."""
        program = Program(
            name="it",
            command=(sys.executable, "-c", script),
            directory=self.directory,
            log=self.directory / "it.log",
            ready=lambda: (self.directory / "ready").exists(),
            grace=grace,
        )
        self.supervisor.start(program)
        return self.pid()

    def pid(self) -> int:
        return self.supervisor.pids(["it"])["it"]

    def tick_until_another(self, than: int) -> int:
        def another() -> bool:
            self.supervisor.tick()
            return self.pid() != than

        eventually_now(another)
        return self.pid()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.supervisor.stop(["it"], hurry=lambda: True)


WAITS = "import signal; open('ready', 'w').close(); signal.pause()"
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('ready', 'w').close()\nwhile True: signal.pause()"


@pytest.fixture
def signals() -> Iterator[Signals]:
    with Signals() as signals:
        yield signals


def test_a_child_is_started_again_and_told_of_when_it_ends(watched: Watched) -> None:
    first = watched.start("raise SystemExit(3)")
    watched.tick_until_another(first)
    assert watched.changes == 1
    assert "it ended with code 3; started again in 0.1 s" in watched.said[0]


def test_the_pause_doubles_when_a_child_keeps_ending(watched: Watched) -> None:
    pid = watched.start("raise SystemExit(3)")
    for _ in range(3):
        pid = watched.tick_until_another(pid)
    assert [line.split("started again in ")[1].split(" s")[0] for line in watched.said] == ["0.1", "0.2", "0.4"]


def test_waiting_gives_up_with_the_last_words_when_a_child_keeps_ending(watched: Watched, signals: Signals) -> None:
    watched.start("raise SystemExit('the disk is on fire')")
    with pytest.raises(Unavailable, match="the disk is on fire"):
        watched.supervisor.wait_until_ready(["it"], 30, signals.pause)
    assert len(watched.said) == FAILURES


def test_waiting_gives_up_at_once_when_a_child_is_misconfigured(watched: Watched, signals: Signals) -> None:
    watched.start("import sys; print('NAME: is bad'); sys.exit(78)")
    with pytest.raises(Misconfigured, match="NAME: is bad"):
        watched.supervisor.wait_until_ready(["it"], 30, signals.pause)


def test_waiting_ends_when_a_signal_asks_to_stop(watched: Watched, signals: Signals) -> None:
    watched.start("import signal; signal.pause()")
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Stopped):
        watched.supervisor.wait_until_ready(["it"], 30, signals.pause)


def test_a_second_signal_hurries_when_one_came_before(signals: Signals) -> None:
    signal.raise_signal(signal.SIGINT)
    assert (signals.stopping, signals.hurry) == (True, False)
    signal.raise_signal(signal.SIGINT)
    assert signals.hurry


def test_a_child_is_killed_when_its_grace_is_over(watched: Watched, signals: Signals) -> None:
    pid = watched.start(IGNORES, grace=0.1)
    watched.supervisor.wait_until_ready(["it"], 30, signals.pause)
    watched.supervisor.stop(["it"], hurry=lambda: False)
    assert birth(pid) is None
    assert watched.said == ["it did not end within 0 s: killed"]


def test_a_child_is_restarted_without_a_pause_when_its_code_changed(watched: Watched, signals: Signals) -> None:
    pid = watched.start(WAITS)
    watched.supervisor.wait_until_ready(["it"], 30, signals.pause)
    watched.supervisor.reload(["it"])
    watched.tick_until_another(pid)
    assert watched.said == []


def program_of(directory: Path, script: str) -> Program:
    return Program("it", (sys.executable, "-c", script), directory, directory / "it.log", lambda: True, grace=5)


def test_a_leftover_is_stopped_when_the_run_that_started_it_was_killed(tmp_path: Path) -> None:
    run, program = tmp_path / "run", program_of(tmp_path, "import signal; signal.pause()")
    run.mkdir()
    process = child.spawn(program)
    child.remember(run, program, process.pid)
    assert child.stop_leftovers(run) == ["it"]
    assert process.wait() == -signal.SIGTERM
    assert list(run.iterdir()) == []


def test_a_stranger_is_left_alone_when_it_has_a_leftovers_pid(tmp_path: Path) -> None:
    run, program = tmp_path / "run", program_of(tmp_path, "import signal; signal.pause()")
    run.mkdir()
    process = child.spawn(program)
    note = {"pid": process.pid, "birth": "another boot", "signal": int(signal.SIGKILL), "grace": 1.0}
    (run / "it.json").write_text(json.dumps(note))
    assert child.stop_leftovers(run) == []
    assert process.poll() is None
    child.stop(program, process)


def test_a_change_is_taken_once_when_a_file_of_ours_is_written(tmp_path: Path, signals: Signals) -> None:
    for folder in ("functions/__pycache__", "shared"):
        (tmp_path / folder).mkdir(parents=True)
    with watching(signals.wake, tmp_path) as changes:
        (tmp_path / "functions/__pycache__/a.pyc").write_text("x")
        (tmp_path / "functions/a.py").write_text("x = 1\n")
        assert eventually_now(changes.take) == tmp_path / "functions" / "a.py"
        assert changes.take() is None


def test_a_child_is_started_later_when_it_cannot_be_written_down_now(tmp_path: Path) -> None:
    """A full disk ended `up`, and everything with it, for good. The folder of pids is missing here: another OSError, also for root."""
    run, gone = tmp_path / "run", tmp_path / "gone"
    run.mkdir()
    watched = Watched(tmp_path)
    watched.supervisor = Supervisor(run, watched.said.append, watched._changed)
    try:
        first = watched.start(WAITS)
        run.rename(gone)
        os.kill(first, signal.SIGKILL)

        def refused() -> bool:
            watched.supervisor.tick()
            return sum("it can't be started, and is tried again" in line for line in watched.said) >= 2

        eventually_now(refused)
        assert watched.changes == 0
        gone.rename(run)
        second = watched.tick_until_another(first)
        assert json.loads((run / "it.json").read_text())["pid"] == second
        assert watched.changes == 1
    finally:
        watched.supervisor.stop(["it"], hurry=lambda: True)


def test_starting_fails_by_name_when_the_first_child_cannot_be_written_down(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.supervisor = Supervisor(tmp_path / "missing", watched.said.append, watched._changed)
    with pytest.raises(Unavailable, match="it can't be started"):
        watched.start(WAITS)


def test_endpoints_are_written_later_when_they_cannot_be_now(tmp_path: Path, signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    state, gone = open_state(tmp_path / "state"), tmp_path / "gone"
    said: list[str] = []
    run = Run(Plan(Settings(state_dir=state.directory, port=0), (), lambda url, key_file: None), state, signals, said.append)
    run._front, run._ready = bind(Settings(port=0)), True
    try:
        state.directory.rename(gone)
        run._write_endpoints()
        run._write_endpoints()
        assert len(said) == 1
        assert "can't be written, and is tried again" in said[0]
        gone.rename(state.directory)

        def one_turn(seconds: float) -> None:
            signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(signals, "wait", one_turn)
        run.watch(None)
        assert json.loads((state.directory / "endpoints.json").read_text())["pid"] == os.getpid()
    finally:
        run._front.close()
