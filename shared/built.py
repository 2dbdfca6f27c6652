"""The module that is compiled of the C in shared/speedups: where it is, and whether it is of the source beside it.

A checkout that moved on without `make setup` has one of other source: it would go on doing what the code around it no longer does. So what
was compiled holds the digest of its source, and isn't loaded where that is another (infra/speedups/build.py puts it there).
"""

from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

FOLDER = Path(__file__).parent / "speedups"
MODULE = FOLDER / f"_core{EXTENSION_SUFFIXES[0]}"  # the suffix names the Python and the machine: others don't see it


def sources() -> list[Path]:
    """The files it is compiled of, headers too, by name."""
    return sorted(path for path in FOLDER.iterdir() if path.suffix in (".c", ".h"))


def mark() -> bytes:
    """What the module that is compiled of these sources has somewhere in its bytes; OSError where one can't be read."""
    digest = sha256()
    for path in sources():
        content = path.read_bytes()
        digest.update(b"%s %d\n%s" % (path.name.encode(), len(content), content))
    return f"switchboard speedups {digest.hexdigest()} ".encode()


def is_current(ends_with: bytes = b"") -> bool:
    """Whether the module is there and of the source that is here. `ends_with`: what else follows the mark, of how it was compiled."""
    try:
        return mark() + ends_with in MODULE.read_bytes()
    except OSError:
        return False
