"""Compile the C in shared/speedups: `python -m infra.speedups.build`, which `make setup` and the images' Dockerfile run.

Nothing needs what comes of it: where it isn't, Python does the same at about two thirds of the speed. So a machine without a compiler is
told what it could have, and the exit status is 0. With --check, as lint runs it, nothing is written, and each warning of the compiler
fails.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from shared import built

# As Python's own modules are compiled (-DNDEBUG: its headers' assertions), with what finds a write beyond a buffer. Hidden: what one file
# calls of another is never a function of that name in another library.
HARDENED = ("-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2")
FLAGS = ("-std=gnu11", "-O3", "-DNDEBUG", "-fPIC", "-fvisibility=hidden", *HARDENED, "-shared")
OF_MACOS = ("-undefined", "dynamic_lookup")  # Python's symbols are found when the module is loaded; elsewhere that needs no word
STRICT = ("-Wall", "-Wextra", "-Werror")
VERSION = "{}.{}".format(*sys.version_info)
ALONE = "Switchboard runs on Python alone, at about two thirds of the speed"
PACKAGES = f"on Debian and Ubuntu `apt-get install gcc libc6-dev python{VERSION}-dev` as root, on macOS `xcode-select --install`"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile what isn't compiled yet; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.speedups.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compile with all warnings as errors, and write nothing")
    check = parser.parse_args(arguments).check
    command = compile_command()
    if isinstance(command, str):
        if check or not built.is_current():
            _say(f"no {command}: {ALONE}. To have the rest: {PACKAGES}, then `make setup` again")
        return 0
    return _check(command) if check else _make(command)


def compile_command() -> list[str] | str:
    """The command that compiles, without the files; or what it would need and isn't here."""
    compiler = _compiler()
    if compiler is None:
        return "C compiler"
    folders = dict.fromkeys(sysconfig.get_path(name) for name in ("include", "platinclude"))
    if not any((Path(folder) / "Python.h").is_file() for folder in folders):
        return "Python.h"
    # As a system's headers, which aren't warned of: they are Python's.
    includes = [word for folder in folders for word in ("-isystem", folder)]
    return [*compiler, *FLAGS, *(OF_MACOS if sys.platform == "darwin" else ()), *includes]


def _compiler() -> list[str] | None:
    """What CC says, what Python itself was compiled with, or cc: the first that is here."""
    for said in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc"):
        words = shlex.split(said or "")
        if words and shutil.which(words[0]):
            return words
    return None


def _check(command: list[str]) -> int:
    with TemporaryDirectory() as folder:
        said = _compile([*command, *STRICT], b"", Path(folder))
    if said is not None:
        _say(f"{built.FOLDER} has warnings or errors:\n{said}")
    return 0 if said is None else 1


def _make(command: list[str]) -> int:
    how = sha256(repr((command, sys.version)).encode()).hexdigest().encode()
    if built.is_current(how):
        return 0
    try:
        # Beside its place: a rename there is all or nothing, and who has the old one loaded keeps it. Git ignores that name.
        with TemporaryDirectory(prefix="_core.", suffix=".so", dir=built.FOLDER) as folder:
            said = _compile(command, how, Path(folder))
            if said is None:
                (Path(folder) / built.MODULE.name).replace(built.MODULE)
    except OSError as error:
        said = f"{error.filename or built.FOLDER}: {error.strerror}"
    if said is None and not built.is_current(how):
        said = f"{shlex.join(command)} left out of what source it is"
    if said is not None:
        _say(f"{built.FOLDER} could not be compiled: {ALONE}. Why:\n{said}")
    return 0


def _compile(command: list[str], how: bytes, folder: Path) -> str | None:
    """The source into `folder`, with its mark; None, or what was run and what the compiler said, where it failed."""
    mark = built.mark()  # first: what is edited meanwhile is another source, and compiled the next time
    mark_file = folder / "mark.c"
    # Seen from outside: a linker that leaves out what nobody asks for (lld, as some call it) would leave out the mark.
    seen = b'__attribute__((used, visibility("default")))'
    mark_file.write_bytes(b'%s const char switchboard_mark[] = "%s";\n' % (seen, mark + how))
    files = [str(path) for path in (*built.sources(), mark_file) if path.suffix == ".c"]
    asked = [*command, *files, "-o", str(folder / built.MODULE.name)]
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    return None if done.returncode == 0 else f"{shlex.join(asked)}\n{done.stdout}{done.stderr}".strip()


def _say(line: str) -> None:
    print(f"setup: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
