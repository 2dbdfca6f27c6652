"""The embedded PostgreSQL, with TimescaleDB where it can be had: the store."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from infra.local import postgres_tree
from infra.local.account import Account, choose
from infra.local.child import TICK, Pause, Program, birth, command_of, run_tool
from infra.local.postgres_tree import Tree
from infra.local.server import SILENT, Progress, Server
from infra.local.state import State, write_private
from shared.domain.errors import Misconfigured

USER = DATABASE = "switchboard"
LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
SMALL_SHM = 16 * 1024 * 1024  # bytes of /dev/shm below which PostgreSQL can't use it
BACKENDS_END = 60.0  # seconds that a killed server's backends are waited for
SHM_LINE = 6  # of postmaster.pid: the key and the id of its shared memory
SEGMENTS = Path("/proc/sysvipc/shm")
SCHEMA = Path(__file__).with_name("database.sql")


def prepare(state: State, progress: Progress = SILENT) -> Server:
    """Find its programs, and make its data directory when it is new. Raises Misconfigured when that can't be done."""
    flavour = _flavour_of(state)
    tree = postgres_tree.find(progress, flavour)
    account = choose(state, tree.bin)
    port, password = state.port("database"), state.password("database")
    if flavour is None:
        progress.say("Making the database ...")
        _initialise(account, password, progress)
        write_private(state.folder("postgres") / "flavour", f"{tree.flavour}\n")
    _check_version(account)
    _drop_stale_lock(account.home / "data" / "postmaster.pid", progress.pause)
    program = Program(
        name="database",
        command=(*account.prefix, str(account.bin / "postgres"), "-D", str(account.home / "data"), *_flags(port, tree)),
        directory=account.home,
        log=state.log("database"),
        ready=lambda: _ask(account.bin / "pg_isready", port, password, "--quiet", "--timeout=1").returncode == 0,
        stop_signal=signal.SIGINT,  # fast: SIGTERM would wait for every client to leave
        user=account.uid,
        grace=30.0,  # its last checkpoint writes what is in shared_buffers
    )
    return Server(
        program,
        f"postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}",
        complete=lambda: _make_database(account, port, password, tree),
    )


def _flavour_of(state: State) -> postgres_tree.Flavour | None:
    """Which PostgreSQL made the data here; None while there is none."""
    try:
        text = (state.folder("postgres") / "flavour").read_text().strip()
    except FileNotFoundError:
        return None
    return "plain" if text == "plain" else "timescaledb"


def _flags(port: int, tree: Tree) -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    settings: dict[str, object] = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",  # none: their paths may have 107 bytes, and a state directory may lie deep
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "jit": "off",
        "max_connections": 200,
        "max_locks_per_transaction": 256,  # a query over many chunks locks each of them
        "shared_buffers": f"{min(max(memory // 16, 128 << 20), 1 << 30) >> 20}MB",
        "max_wal_size": "2GB",
        "wal_compression": "on",
    }
    if tree.flavour == "timescaledb":
        settings["shared_preload_libraries"] = "timescaledb"
        # The Apache edition has no jobs to run, and its scheduler would hold a connection to each database.
        settings["timescaledb.max_background_workers"] = 0
    if _small_shared_memory():
        settings["dynamic_shared_memory_type"] = "mmap"
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _small_shared_memory() -> bool:
    try:
        return shutil.disk_usage("/dev/shm").total < SMALL_SHM  # noqa: S108  # asked about, not written to
    except OSError:
        return False


def _initialise(account: Account, password: str, progress: Progress) -> None:
    """initdb beside the place, then move: a run that is killed halfway leaves nothing that looks like a database."""
    fresh, secret = account.home / "data.new", account.home / "password"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(account.home / "data", ignore_errors=True)
    write_private(secret, password + "\n")
    if account.uid is not None:
        os.chown(secret, account.uid, account.uid)
    command = [*account.prefix, str(account.bin / "initdb"), "-D", str(fresh), "-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}"]
    if _small_shared_memory():
        command += ["-c", "dynamic_shared_memory_type=mmap"]
    command += [*LOCALE, "--data-checksums", "--no-instructions"]
    try:
        done = run_tool(command, progress.pause, directory=account.home, user=account.uid)
    finally:
        secret.unlink()
    if done.returncode != 0:
        raise Misconfigured(f"initdb failed: {done.stderr.strip()}")
    fresh.rename(account.home / "data")


def _check_version(account: Account) -> None:
    made_by = (account.home / "data" / "PG_VERSION").read_text().strip()
    done = subprocess.run([account.bin / "postgres", "--version"], capture_output=True, text=True, check=False, cwd="/")
    if f" {made_by}." not in done.stdout:
        raise Misconfigured(f"the database in {account.home} was made by PostgreSQL {made_by}, and this is {done.stdout.strip()}")


def _drop_stale_lock(lock: Path, pause: Pause) -> None:
    """Remove a killed server's lock when PostgreSQL would take it for a running one's, once its backends have ended.

    It does so when the pid is another program's by now, and as long as nobody has waited for the killed server: PID 1 of a container may
    take seconds for that, or never do it. Backends notice that their server is gone when they have done what they were at, an fsync of a
    busy disk maybe, and until then no other starts: it finds their shared memory, by the data directory's inode, with or without a lock.
    """
    try:
        lines = lock.read_text().split("\n")
        pid = int(lines[0])
    except (FileNotFoundError, ValueError):
        return
    if birth(pid) is None or "postgres" not in command_of(pid):
        deadline = time.monotonic() + BACKENDS_END
        while len(lines) > SHM_LINE and _is_attached(lines[SHM_LINE].split()) and time.monotonic() < deadline:
            pause(TICK)
        lock.unlink()


def _is_attached(segment: Sequence[str]) -> bool:
    """Whether a process has this System V segment of shared memory, key and id; False where the system doesn't say."""
    try:
        rows = [row.split() for row in SEGMENTS.read_text().splitlines()[1:]]
    except OSError:
        return False
    return any(row[:2] == list(segment) and row[6] != "0" for row in rows)  # proc_sysvipc(5): key, shmid, perms, size, cpid, lpid, nattch


def _make_database(account: Account, port: int, password: str, tree: Tree) -> None:
    _run_sql(account.bin, port, password, "postgres", SCHEMA.read_text())
    if tree.flavour == "timescaledb":
        _run_sql(account.bin, port, password, DATABASE, "CREATE EXTENSION IF NOT EXISTS timescaledb")


def _run_sql(bin_dir: Path, port: int, password: str, database: str, sql: str) -> None:
    options = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "-d", database)
    done = _ask(bin_dir / "psql", port, password, *options, standard_input=sql)
    if done.returncode != 0:
        raise Misconfigured(f"the database could not be made: {done.stderr.strip()}")


def _ask(program: Path, port: int, password: str, *options: str, standard_input: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(program), "-h", "127.0.0.1", "-p", str(port), "-U", USER, *options]
    environment = {"PGPASSWORD": password, "PGOPTIONS": "--client-min-messages=warning", "PATH": os.environ.get("PATH", "")}
    return subprocess.run(command, input=standard_input, capture_output=True, text=True, check=False, env=environment, cwd="/")
