"""The log's Lua scripts, one responsibility a file, put together with the functions they share."""

import re
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent
_SHARED = re.compile(r"((?:\w+\.lua(?:, | and )?)+) (?:is|are) put before this text")
_SHEBANG = "#!lua flags=allow-oom\n"  # what frees room must run when Redis is full; the server looks for it in the very first bytes


class Script(NamedTuple):
    """A script's text, and the SHA-1 that EVALSHA names it by."""

    name: str
    text: bytes
    sha: bytes


@cache
def script(name: str) -> Script:
    """The script `<name>.lua`, with the shared functions that its first comment names put before it; a first line `#!lua` stays first."""
    written = (_FOLDER / f"{name}.lua").read_text()
    text = written.removeprefix(_SHEBANG)
    first = written.removesuffix(text)
    named = _SHARED.search(text.split("\n\n", 1)[0])
    before = [(_FOLDER / part).read_text() for part in re.findall(r"\w+\.lua", named[1] if named else "")]
    whole = (first + "\n".join((*before, text))).encode()
    return Script(name, whole, sha1(whole, usedforsecurity=False).hexdigest().encode())
