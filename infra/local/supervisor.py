"""Keeps children running: the embedded servers and our own processes alike."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from infra.local import child
from infra.local.child import Program
from infra.local.server import Say
from shared.domain.errors import Misconfigured, Unavailable

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds before a restart; doubled each time
SETTLED = 10.0  # seconds a child has to run for the pause to be the first one again
FAILURES = 5  # ends of a child before it was ever ready, after which there is no point in another try
HURRIED = 2.0  # seconds of grace that are left to a child when a second signal came


@dataclass(slots=True)
class Child:
    """A program and its process of now. Times are of time.monotonic()."""

    program: Program
    process: Popen[bytes]
    started: float
    pause: float = FIRST_PAUSE
    failures: int = 0
    restart_at: float | None = None  # it ended, and this is when the next one starts
    kill_at: float | None = None  # it was asked to end for a reload


class Supervisor:
    """Starts children, restarts them when they end, stops them. One thread, the main one, calls it; tick() never blocks.

    `run` is the folder for their pids, `changed` is called when a pid is another one.
    """

    def __init__(self, run: Path, say: Say, changed: Callable[[], None]) -> None:
        self._run = run
        self._say = say
        self._changed = changed
        self._children: dict[str, Child] = {}

    def start(self, program: Program) -> None:
        """Start a program that isn't running yet. Raises Misconfigured, Unavailable where it can't be."""
        try:
            self._children[program.name] = Child(program, self._spawn(program), time.monotonic())
        except OSError as error:
            raise Unavailable(f"{program.name} can't be started: {error}") from error

    def pids(self, names: Iterable[str]) -> dict[str, int]:
        """The process of each child, by name."""
        return {name: self._children[name].process.pid for name in names}

    def tick(self) -> None:
        """Look after every child: note who ended, start who is due."""
        now = time.monotonic()
        for each in self._children.values():
            if each.restart_at is not None:
                if now >= each.restart_at:
                    self._restart(each, now)
            elif each.process.poll() is not None:
                self._ended(each, now)
            elif each.kill_at is not None and now >= each.kill_at:
                child.kill(each.process)

    def next_look(self) -> float:
        """Seconds until tick() has something to do even if no signal comes."""
        now = time.monotonic()
        due = (moment for each in self._children.values() for moment in (each.restart_at, each.kill_at) if moment is not None)
        return max(0.0, min(due, default=now + 60.0) - now)

    def wait_until_ready(self, names: Iterable[str], within: float, pause: child.Pause, every: float = child.TICK) -> None:
        """Return once all of these answer at the same time; asks them again after `every` seconds.

        Raises Misconfigured when one ends with that exit code, Unavailable when one keeps ending or isn't ready in time.
        """
        deadline = time.monotonic() + within
        wanted = [self._children[name] for name in names]
        while waiting := [each for each in wanted if each.restart_at is not None or not each.program.ready()]:
            self.tick()
            for each in waiting:
                self._give_up_on(each, deadline, within)
            pause(every)

    def reload(self, names: Iterable[str]) -> None:
        """Ask these to end, and start them again as soon as they have."""
        for each in map(self._children.__getitem__, names):
            if each.restart_at is None and each.kill_at is None and each.process.poll() is None:
                each.process.send_signal(each.program.stop_signal)
                each.kill_at = time.monotonic() + each.program.grace

    def stop(self, names: Iterable[str], hurry: Callable[[], bool]) -> None:
        """End these together, in good order, each within its grace; less is left of it once `hurry` says so."""
        stopping = [each for name in names if (each := self._children.pop(name, None))]
        alive = [each for each in stopping if each.process.poll() is None]
        for each in alive:
            each.process.send_signal(each.program.stop_signal)
        asked = time.monotonic()
        while alive:
            time.sleep(child.TICK)
            alive = [each for each in alive if each.process.poll() is None]
            for each in alive:
                grace = min(each.program.grace, HURRIED) if hurry() else each.program.grace
                if time.monotonic() > asked + grace:
                    self._say(f"{each.program.name} did not end within {grace:.0f} s: killed")
                    child.kill(each.process)
        for each in stopping:
            child.kill(each.process)  # what it left in its session
            child.forget(self._run, each.program)

    def _spawn(self, program: Program) -> Popen[bytes]:
        process = child.spawn(program)
        try:
            child.remember(self._run, program, process.pid)
        except OSError:  # nobody would know of it after a crash, and start another on the same data
            child.kill(process)
            raise
        return process

    def _ended(self, each: Child, now: float) -> None:
        if each.kill_at is not None:  # as asked
            each.kill_at, each.restart_at = None, now
            return
        child.kill(each.process)
        if now - each.started >= SETTLED:
            each.pause = FIRST_PAUSE
        each.failures += 1
        each.restart_at = now + each.pause
        what = f"{each.program.name} ended with code {each.process.returncode}"
        self._say(f"{what}; started again in {each.pause:.1f} s ({each.program.log})")
        each.pause = min(each.pause * 2, LONGEST_PAUSE)

    def _restart(self, each: Child, now: float) -> None:
        """Start it again; where that can't be done now (a full disk, no memory) everything else goes on, and it is tried again."""
        try:
            each.process = self._spawn(each.program)
        except (OSError, Misconfigured) as error:
            each.failures += 1
            each.restart_at = now + each.pause
            self._say(f"{each.program.name} can't be started, and is tried again in {each.pause:.1f} s: {error}")
            each.pause = min(each.pause * 2, LONGEST_PAUSE)
            return
        each.started, each.restart_at = now, None
        self._changed()

    def _give_up_on(self, each: Child, deadline: float, within: float) -> None:
        name, log = each.program.name, each.program.log
        if each.process.returncode == Misconfigured.EXIT_CODE:
            raise Misconfigured(f"{name} can't run as configured: {child.last_words(log, lines=1)}")
        if each.failures >= FAILURES:
            raise Unavailable(f"{name} keeps ending with code {each.process.returncode}: {child.last_words(log)}")
        if time.monotonic() > deadline:
            raise Unavailable(f"{name} was not ready within {within:.0f} s: {child.last_words(log)}")
