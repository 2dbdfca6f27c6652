"""The log's Lua scripts, one responsibility a file, put together with the functions they share."""

import re
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent
_SHARED = re.compile(r"(\w+\.lua)(?: and (\w+\.lua))? (?:is|are) put before this text")


class Script(NamedTuple):
    """A script's text, and the SHA-1 that EVALSHA names it by."""

    name: str
    text: bytes
    sha: bytes


@cache
def script(name: str) -> Script:
    """The script `<name>.lua`, with the shared functions that its first comment names put before it."""
    text = (_FOLDER / f"{name}.lua").read_text()
    named = _SHARED.search(text.split("\n\n", 1)[0])
    before = [(_FOLDER / part).read_text() for part in (named.groups() if named else ()) if part]
    whole = "\n".join((*before, text)).encode()
    return Script(name, whole, sha1(whole, usedforsecurity=False).hexdigest().encode())
