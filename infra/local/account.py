"""As whom the embedded PostgreSQL runs: it refuses root, so root lends it another uid."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.local.postgres_tree import copied
from infra.local.state import State, write_private
from shared.domain.errors import Misconfigured

# It execs the program, so the pid is the server's. Files stay root's own, and no parent directory needs opening.
NAMESPACE = ("unshare", "--user", "--map-user=65534", "--map-group=65534")
AWAY = Path("/var/lib")


@dataclass(frozen=True, slots=True)
class Account:
    """`prefix` goes before a command, `uid` is dropped to, `home` is the server's folder, `bin` its programs."""

    prefix: tuple[str, ...]
    uid: int | None
    home: Path
    bin: Path


def choose(state: State, bin_dir: Path) -> Account:
    """Ourselves, when we aren't root; else another uid in a user namespace; else `nobody`, with its data in /var/lib."""
    home = state.folder("postgres")
    if os.geteuid() != 0:
        return Account((), None, home, bin_dir)
    away = AWAY / f"switchboard-{state.fingerprint()}"
    if not (home / "away").exists() and _namespace_reaches(home, bin_dir):
        return Account(NAMESPACE, None, home, bin_dir)
    return _as_nobody(home, away, bin_dir)


def _namespace_reaches(home: Path, bin_dir: Path) -> bool:
    if shutil.which(NAMESPACE[0]) is None:
        return False
    question = 'test -w "$1" && test -x "$2"'
    command = [*NAMESPACE, "sh", "-c", question, "sh", str(home), str(bin_dir / "postgres")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _as_nobody(home: Path, away: Path, bin_dir: Path) -> Account:
    if (home / "data").exists():
        raise Misconfigured(f"the database in {home} was made in a user namespace, and this machine doesn't allow one now")
    nobody = pwd.getpwnam("nobody")
    if not (home / "away").exists():
        shutil.rmtree(away, ignore_errors=True)  # of a state directory that was removed
        away.mkdir(mode=0o700, parents=True)
        os.chown(away, nobody.pw_uid, nobody.pw_gid)
        write_private(home / "away", f"{away}\n")
    return Account((), nobody.pw_uid, away, _reachable(bin_dir, nobody.pw_uid))


def _reachable(bin_dir: Path, uid: int) -> Path:
    """These programs, or a copy of their tree where `uid` can run it."""
    if _runs(bin_dir, uid):
        return bin_dir
    copy = copied(bin_dir)
    if not _runs(copy, uid):
        raise Misconfigured(f"`nobody` can't run {copy / 'postgres'}: every parent directory needs o+x")
    return copy


def _runs(bin_dir: Path, uid: int) -> bool:
    command = [str(bin_dir / "initdb"), "--version"]  # of all programs the one that needs most libraries
    try:
        done = subprocess.run(command, cwd="/", capture_output=True, check=False, user=uid, group=uid, extra_groups=[])
    except OSError:
        return False
    return done.returncode == 0
