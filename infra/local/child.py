"""One child process: how it is started, known again, watched until it serves, and stopped."""

import ctypes
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.state import write_private
from shared.domain.errors import Misconfigured, Unavailable

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOG_LIMIT = 64 * 1024 * 1024  # bytes; a longer log becomes <name>.log.1 at the next start
TICK = 0.02  # seconds between two looks at a child that starts or stops

Pause = Callable[[float], None]  # waits that many seconds, or raises when the wait should be given up


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how to know that it serves. `stop_signal` asks it to end in good order, within `grace` seconds."""

    name: str
    command: tuple[str, ...]
    directory: Path
    log: Path
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    user: int | None = None  # uid and gid to drop to, for a server that refuses to run as root
    inherited: tuple[int, ...] = ()  # file descriptors it is given


def spawn(program: Program) -> subprocess.Popen[bytes]:
    """Start the program in its own session, its output appended to its log.

    On Linux the kernel sends it `stop_signal` when the thread that called this ends, even by SIGKILL: nothing of ours
    goes on without `up`. So call it from the main thread. Elsewhere the next start stops what was left (stop_leftovers).
    """
    if program.log.exists() and program.log.stat().st_size > LOG_LIMIT:
        os.replace(program.log, program.log.with_suffix(".log.1"))
    descriptor = os.open(program.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of preexec_fn where there are threads, for what it might lock; ours locks nothing.
            warnings.simplefilter("ignore", DeprecationWarning)
            return _popen(program, descriptor)
    except OSError as error:
        raise Misconfigured(f"{program.name} can't be started: {error}") from error
    finally:
        os.close(descriptor)


def _popen(program: Program, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        program.command,
        cwd=program.directory,
        env={**os.environ, **program.environment},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        umask=0o077,
        pass_fds=program.inherited,
        user=program.user,
        group=program.user,
        extra_groups=None if program.user is None else [],
        preexec_fn=_dies_with_parent(program.stop_signal),
    )


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _dies_with_parent(stop_signal: signal.Signals) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = _libc().prctl, os.getpid()  # looked up here: between fork and exec only a plain call is safe

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, int(stop_signal))
        if os.getppid() != parent:  # the parent ended before the call
            os._exit(1)

    return ask_kernel


def wait_until_ready(program: Program, process: subprocess.Popen[bytes], within: float, pause: Pause = time.sleep) -> None:
    """Return once the program answers. Raises Unavailable with the end of its log when it ended, or wasn't ready in time."""
    deadline = time.monotonic() + within
    while not program.ready():
        if process.poll() is not None:
            raise Unavailable(f"{program.name} ended with code {process.returncode}: {last_words(program.log)}")
        if time.monotonic() > deadline:
            raise Unavailable(f"{program.name} was not ready within {within:.0f} s: {last_words(program.log)}")
        pause(TICK)


def stop(program: Program, process: subprocess.Popen[bytes], hurry: Callable[[], bool] = lambda: False) -> None:
    """Ask the program to end; kill its whole session after its grace, or as soon as `hurry` says so."""
    if process.poll() is None:
        process.send_signal(program.stop_signal)
        deadline = time.monotonic() + program.grace
        while process.poll() is None and time.monotonic() < deadline and not hurry():
            time.sleep(TICK)
    kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started in its session, without asking."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        process.kill()
    process.wait()


def run_tool(
    command: Sequence[str], pause: Pause, directory: Path | None = None, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in a session of its own: Ctrl-C reaches it only through `pause`, which then ends it."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
        try:
            while process.poll() is None:
                pause(TICK)
        finally:
            kill(process)
        output.seek(0)
        complaints.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, output.read(), complaints.read())


def last_words(log: Path, lines: int = 5) -> str:
    """The end of a log, for a message to a person."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            tail = file.read().decode(errors="replace").strip().splitlines()[-lines:]
    except OSError:
        tail = []
    return "\n  ".join([f"the end of {log}:", *tail]) if tail else f"{log} is empty"


def birth(pid: int) -> str | None:
    """When the process with this pid was started, in a form to compare; None if there is none.

    A pid alone says little after a crash: it may be somebody else's by now.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        fields = status.rpartition(")")[2].split()  # proc(5): from field 3 (state) on; starttime is field 22
        if fields[0] in "ZX":
            return None
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {fields[19]}"
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    return _ps(pid, "lstart=")


def command_of(pid: int) -> str:
    """The command line of a process; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return _ps(pid, "command=") or ""


def _ps(pid: int, column: str) -> str | None:
    """What ps says of a process, where there is no /proc; None if there is no such process."""
    try:
        listing = subprocess.run(["ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return listing.stdout.strip() or None


def remember(run: Path, program: Program, pid: int) -> None:
    """Write down which process is this program's, and how it is stopped, for stop_leftovers in a later run."""
    note = {"pid": pid, "birth": birth(pid), "signal": int(program.stop_signal), "grace": program.grace}
    write_private(run / f"{program.name}.json", json.dumps(note))


def forget(run: Path, program: Program) -> None:
    """The program ended."""
    (run / f"{program.name}.json").unlink(missing_ok=True)


def stop_leftovers(run: Path) -> list[str]:
    """Stop what is still there of an earlier run that was killed, the last started first. Returns the names.

    Two servers on one data directory would ruin it, so this comes before anything is started.
    """
    notes = sorted(run.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.stem for path in notes if _stop_leftover(path)]


def _stop_leftover(path: Path) -> bool:
    note = json.loads(path.read_text())
    pid, born = note["pid"], note["birth"]
    found = born is not None and birth(pid) == born
    for number in (note["signal"], signal.SIGKILL):
        if born is None or birth(pid) != born:
            break
        os.kill(pid, number)
        deadline = time.monotonic() + note["grace"]
        while birth(pid) == born and time.monotonic() < deadline:
            time.sleep(TICK)
    path.unlink()
    return found
