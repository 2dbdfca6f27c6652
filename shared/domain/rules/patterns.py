"""How much work a pattern of matches() can be (RE2's syntax). RE2 takes time in proportion to text and pattern, and the pattern is compiled
each time; but a few characters of it may stand for a program of megabytes (`\\pL{1000}`), which takes seconds."""

import re
from typing import NamedTuple

MAX_SIZE = 10_000  # of one expression, all its patterns together: about ten milliseconds at worst, each time they are compiled


class Scale(NamedTuple):
    """What the parts of a pattern count: a character, a class of ASCII characters, any other, a class of Unicode, a group."""

    literal: int
    ascii: int
    any: int
    unicode: int
    group: int


_SIZE = Scale(4, 10, 10, 1_000, 2)  # UTF-8 has up to four bytes a character; \pL is hundreds of ranges
_WORK = Scale(30, 30, 150, 75_000, 60)  # 20 ns each, as measured
_FIRST = 300  # compiling any pattern at all

_REPEAT = re.compile(r"\{(\d{1,9})(,(\d{0,9}))?\}")
_OPEN = re.compile(r"\((\?(P?<[^>]*>|[a-zA-Z-]*:))?")
_FLAGS = re.compile(r"\(\?[a-zA-Z-]*\)")
_QUOTED = re.compile(r"\\Q(.*?)(\\E|$)", re.DOTALL)
_FOLDED = re.compile(r"\(\?[a-zA-Z]*i")
_ASCII_CLASS = re.compile(r"\[[A-Za-z0-9 _.,;/@+*=~#%&!-]+\]")
_UNICODE_CLASS = re.compile(r"\\[pP](\{[^}]*\}|.)?")
_ESCAPE = re.compile(r"\\(x\{[^}]*\}|.)?", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?(\[:\^?\w+:\]|\\.|[^\]\\])*\]?", re.DOTALL)


def size_of(pattern: str) -> int:
    """How large the compiled pattern can be. Never too small by much; a text that is no pattern has a size, too."""
    return _measured(pattern, _SIZE)


def work_of(pattern: str) -> int:
    """How much work it is to compile the pattern, 20 ns each."""
    return _FIRST + _measured(pattern, _WORK)


def _measured(pattern: str, scale: Scale) -> int:
    folded = _FOLDED.search(pattern) is not None
    outer: list[int] = []  # sizes before the groups that are open
    size = last = at = 0
    while at < len(pattern):
        if repeat := _REPEAT.match(pattern, at):
            times = max(int(repeat[1]), int(repeat[3] or 0), 1) + (repeat[2] == ",")
            size += last * (times - 1)
            last *= times
            at = repeat.end()
        elif pattern[at] == ")":
            last = size + scale.group
            size = last + (outer.pop() if outer else 0)
            at += 1
        elif (opened := _OPEN.match(pattern, at)) and not _FLAGS.match(pattern, at):
            outer.append(size)
            size = last = 0
            at = opened.end()
        else:
            last, at = _atom(pattern, at, scale, folded)
            size += last
    return size + sum(outer)


def _atom(pattern: str, at: int, scale: Scale, folded: bool) -> tuple[int, int]:
    """The size of what stands at a place, and where it ends. `folded`: letters may stand for others (`k` for the sign of Kelvin)."""
    if flags := _FLAGS.match(pattern, at):
        return 0, flags.end()
    if quoted := _QUOTED.match(pattern, at):
        return scale.literal * len(quoted[1]), quoted.end()
    if unicode := _UNICODE_CLASS.match(pattern, at):
        return scale.unicode, unicode.end()
    if escape := _ESCAPE.match(pattern, at):
        return scale.any, escape.end()
    if not folded and (plain := _ASCII_CLASS.match(pattern, at)):
        return scale.ascii + len(plain[0]), plain.end()
    if (found := _CLASS.match(pattern, at)) and found.end() > at:
        return scale.any + scale.literal * len(found[0]) + scale.unicode * len(_UNICODE_CLASS.findall(found[0])), found.end()
    return (scale.any if pattern[at] == "." else scale.literal), at + 1
