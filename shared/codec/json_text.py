"""JSON as it stands in an event: which part of it can't be read, and how deep it goes."""

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice

import msgspec

MAX_DEPTH = 512  # levels of arrays and objects in data: well below what any reader further on can take
MAX_TOKENS = 400_000  # strings, brackets and commas that parts() looks at (about 0.1 s)
MAX_BLAMED = 1_000  # members that are looked at for one to blame
BLANK = b" \t\r\n"
UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)  # what msgspec raises for bytes that it can't read

_STRING = rb'"(?:[^"\\]|\\.)*+"'
_TOKEN = re.compile(_STRING + rb'|["\[\]{},]', re.DOTALL)
_STRINGS = re.compile(_STRING, re.DOTALL)
_KEY = re.compile(rb"[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL)
_NEXT = re.compile(rb"[ \t\r\n]*+[,}]")
# Up to the first escape of half a character: a pair is one, and so is an escaped backslash before a `u`.
_lone_surrogate = re.compile(
    rb"(?:[^\\]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\(?!u[dD][89a-fA-F]).)*+\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    re.DOTALL,
).match
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = [1 if byte in b"[{" else -1 for byte in range(256)]

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value = msgspec.json.Decoder(msgspec.Raw).decode
_text = msgspec.json.Decoder(str).decode


def reason(error: Exception, text: bytes, *, part: bool = False) -> str:
    """What a parser's error says of the text, for the one who wrote it; without the place where it was given a `part` of that only."""
    if isinstance(error, RecursionError):
        return "is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8"
    if _lone_surrogate(text):  # of which the parser says that the input is cut off, or nothing a sender understands
        return "has a lone surrogate, which is no character (RFC 8259, 8.2)"
    said = str(error).removeprefix("JSON is malformed: ").lower()
    return f"is not JSON: {said.partition(' (byte')[0] if part else said}"


def is_json(text: bytes) -> bool:
    """Whether the bytes are one JSON value of at most MAX_DEPTH levels."""
    try:
        _value(text)
        return (text.isascii() or bool(text.decode())) and not too_deep(text)
    except UNREADABLE:
        return False


def too_deep(text: bytes) -> bool:
    """Whether valid JSON is nested deeper than MAX_DEPTH. The brackets are followed only where there are enough of them."""
    if len(text) <= 2 * MAX_DEPTH or text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRINGS.sub(b"", text).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH


def parts(text: bytes) -> Iterator[bytes]:
    """The comma-separated parts of the one array or object that `text` is, as they stand, valid or not.

    Only strings and brackets are understood, so a part may be anything that keeps those in balance: one bad item of an array is
    told from its neighbours. Linear in the text. Raises ValueError where there is no telling the parts apart.
    """
    text = text.strip(BLANK)
    if text[:1] + text[-1:] not in (b"[]", b"{}"):
        raise ValueError("neither a whole array nor a whole object")
    inner = text[1:-1]
    depth = start = 0
    for count, token in enumerate(_TOKEN.finditer(inner)):
        kind = inner[token.start()]
        if kind in b"[{":
            depth += 1
        elif kind in b"]}":
            depth -= 1
        elif kind == b","[0] and depth == 0:
            yield inner[start : token.start()].strip(BLANK)
            start = token.end()
        if depth < 0 or count > MAX_TOKENS or token[0] == b'"':  # the last: a string that doesn't end
            raise ValueError("its parts can't be told apart")
    if depth:
        raise ValueError("its parts can't be told apart")
    if start or inner.strip(BLANK):
        yield inner[start:].strip(BLANK)


def unreadable_member(text: bytes) -> tuple[str, str] | None:
    """Name and reason of the first member that makes an object unreadable; None where no member can be blamed."""
    try:
        for member in islice(parts(text), MAX_BLAMED):
            try:
                _members(b"{" + member + b"}")
            except UNREADABLE as error:
                key = _KEY.match(member)
                return None if key is None else (_text(key[1]), reason(error, member, part=True))
    except (ValueError, *UNREADABLE):
        return None
    return None


def readable_members(text: bytes, names: Sequence[str]) -> dict[str, bytes]:
    """The raw values of these members, of an object that can't be read as a whole. What is there twice is left out."""
    found: dict[str, list[bytes]] = {}
    try:
        for member in islice(parts(text), MAX_BLAMED):
            key = _KEY.match(member)
            if key is not None and (name := _name(key[1])) in names:
                found.setdefault(name, []).append(member[key.end() :])
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _name(raw: bytes) -> str:
    try:
        return _text(raw)
    except UNREADABLE:
        return ""


def repeated_member(text: bytes, members: dict[str, bytes]) -> str | None:
    """The first name that a valid object has twice, given its members as a parser read them: the last value of each name, raw.

    Walks from name to name, skipping each value by its length; where another value stands, the name comes again further on.
    """
    seen: set[str] = set()
    place = text.index(b"{") + 1
    while key := _KEY.match(text, place):
        name = _text(key[1])
        value = members[name]
        if name in seen or not text.startswith(value, key.end()):
            return name
        seen.add(name)
        following = _NEXT.match(text, key.end() + len(value))
        if following is None:
            return name
        place = following.end()
    return None
