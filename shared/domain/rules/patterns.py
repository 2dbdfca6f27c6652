"""How much work a pattern of matches() can be (RE2's syntax). RE2 takes time in proportion to text and pattern, and the pattern is compiled
each time; but a few characters of it may stand for a program of megabytes (`\\pL{1000}`), which takes seconds."""

import re

# Of one expression, all its patterns together. A thousand are compiled in about a millisecond at worst.
MAX_SIZE = 10_000
_LITERAL, _ANY, _UNICODE, _GROUP = 4, 10, 1_000, 2  # UTF-8 has up to four bytes a character; \pL is hundreds of ranges

_REPEAT = re.compile(r"\{(\d{1,9})(,(\d{0,9}))?\}")
_OPEN = re.compile(r"\((\?(P?<[^>]*>|[a-zA-Z-]*:))?")
_FLAGS = re.compile(r"\(\?[a-zA-Z-]*\)")
_QUOTED = re.compile(r"\\Q(.*?)(\\E|$)", re.DOTALL)
_UNICODE_CLASS = re.compile(r"\\[pP](\{[^}]*\}|.)?")
_ESCAPE = re.compile(r"\\(x\{[^}]*\}|.)?", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?(\[:\^?\w+:\]|\\.|[^\]\\])*\]?", re.DOTALL)


def size_of(pattern: str) -> int:
    """How large the compiled pattern can be. Never too small by much; a text that is no pattern has a size, too."""
    outer: list[int] = []  # sizes before the groups that are open
    size = last = at = 0
    while at < len(pattern):
        if repeat := _REPEAT.match(pattern, at):
            times = max(int(repeat[1]), int(repeat[3] or 0), 1) + (repeat[2] == ",")
            size += last * (times - 1)
            last *= times
            at = repeat.end()
        elif pattern[at] == ")":
            last = size + _GROUP
            size = last + (outer.pop() if outer else 0)
            at += 1
        elif (opened := _OPEN.match(pattern, at)) and not _FLAGS.match(pattern, at):
            outer.append(size)
            size = last = 0
            at = opened.end()
        else:
            last, at = _atom(pattern, at)
            size += last
    return size + sum(outer)


def _atom(pattern: str, at: int) -> tuple[int, int]:
    """The size of what stands at a place, and where it ends."""
    if flags := _FLAGS.match(pattern, at):
        return 0, flags.end()
    if quoted := _QUOTED.match(pattern, at):
        return _LITERAL * len(quoted[1]), quoted.end()
    if unicode := _UNICODE_CLASS.match(pattern, at):
        return _UNICODE, unicode.end()
    if escape := _ESCAPE.match(pattern, at):
        return _ANY, escape.end()
    if (found := _CLASS.match(pattern, at)) and found.end() > at:
        return _ANY + _LITERAL * len(found[0]) + _UNICODE * len(_UNICODE_CLASS.findall(found[0])), found.end()
    return (_ANY if pattern[at] == "." else _LITERAL), at + 1
