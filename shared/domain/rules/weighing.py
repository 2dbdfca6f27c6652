"""What an expression asks for, and how much work it can be, found on one walk through its serialised form."""

from collections.abc import Iterable
from typing import NamedTuple

from shared.domain.rules.patterns import size_of, work_of
from shared.domain.rules.serialized import (
    CALL,
    IDENT,
    LIST,
    LOOP,
    SELECT,
    STRUCT,
    bytes_in,
    is_constant,
    is_name,
    is_path,
    kind_of,
    parts,
    text_in,
    written,
)

LOOP_STEPS = 10_000  # the library's own limit for one evaluation

# Work (20 ns) that doesn't depend on the message, as measured: any call, and an element of a list that is built.
_CALLING, _ELEMENT = 30, 20
# How often contains() looks at a text, by how long what it looks for is; a rule has no longer text than 2,000 characters.
_CONTAINS, _NEEDLE, _LONGEST = 4, 64, 2_000
_LOGIC = frozenset((b"_&&_", b"_||_", b"!_", b"_?_:_", b"@not_strictly_false"))
_LARGE = frozenset(("data", "message.extensions"))
# Texts as long as a header may be. Of an event's others, topic and subject, a backbone's subject is made: 1,024 bytes.
LONG_TEXTS = ("source", "event_id", "type", "time", "datacontenttype", "dataschema")
_LONG = frozenset(f"message.{name}" for name in LONG_TEXTS) | {"message.extensions"}
_OF_TIME = b"getDate getDayOfMonth getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds getMinutes getMonth getSeconds".split()


class Variable(NamedTuple):
    """A loop's variable. `size`: how often it may hold all of a value, 0 for constants. `unrolled`: its loop's list is written out."""

    name: str
    size: int
    unrolled: bool


class Walk:
    """What is found on the way through an expression; what Shape says of itself (admission.py)."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.members: set[str] = set()
        self.weight = self.looped_weight = self.squares = self.start = self.each = 0
        self.deepest = self.deepest_looped = 0
        self.crossing = self.long_in_loops = self.open_pattern = self.open_zone = False
        self.patterns: list[str] = []

    def expression(self, raw: bytes, bound: tuple[Variable, ...], times: int) -> int:
        """One Expr; how often all of a value may be in what it gives. `bound` are the loop variables in sight, the innermost loop's last;
        `times`: how often loops over lists that are written out come to it."""
        kind, value = kind_of(raw)
        if kind == IDENT:
            return self._name(text_in(value, 1), bound)
        if kind == LOOP:
            return self._loop(value, bound, times)
        if kind == SELECT:
            return self._select(value, bound, times)
        if kind == CALL:
            return self._call(value, bound, times)
        if kind in (LIST, STRUCT):
            sizes = [self.expression(part, bound, times) for part in parts(kind, value)]
            self._once(_ELEMENT * len(sizes), bound, times)
            return sum(sizes)
        return 0

    def _name(self, name: str, bound: tuple[Variable, ...]) -> int:
        if name.startswith("@"):  # a loop's own result
            return 0
        looped = [variable.name for variable in bound if not variable.unrolled]
        for variable in reversed(bound):
            if variable.name == name:
                # Looking at its element a loop looks at all of them once; at another's, each time.
                self.crossing |= bool(variable.size and looped and name != looped[-1])
                return variable.size
        self.names.add(name)
        self.crossing |= bool(looped) and name in _LARGE
        self.long_in_loops |= bool(looped) and name in _LONG
        return 1

    def _select(self, value: bytes, bound: tuple[Variable, ...], times: int) -> int:
        operand = bytes_in(value, 1)
        if not is_name(operand, "data") or any(variable.name == "data" for variable in bound):
            return self.expression(operand, bound, times)
        self.members.add(text_in(value, 2))
        self.crossing |= any(not variable.unrolled for variable in bound)
        return 1

    def _call(self, value: bytes, bound: tuple[Variable, ...], times: int) -> int:
        name, inside = bytes_in(value, 2), list(parts(CALL, value))
        sizes = [self.expression(part, bound, times) for part in inside]
        most = max(sizes, default=0)
        if name in _LOGIC:
            return most if name == b"_?_:_" else 0
        looks = 1
        if name == b"matches":
            looks = self._pattern(inside[-1], bound, times)
        elif name == b"contains":
            looks = self._contains(inside[-1], sizes[-1], times)
        elif name in _OF_TIME and bytes_in(value, 1) and len(inside) > 1:
            self.open_zone |= written(inside[-1]) is None
        self.weight += times * looks * max(1, most)
        if any(not variable.unrolled for variable in bound):
            self.looped_weight += times * looks * max(1, most)
        self._once(_CALLING, bound, times)
        return most

    def _pattern(self, pattern: bytes, bound: tuple[Variable, ...], times: int) -> int:
        """Note the pattern of a matches(). It is compiled each time, and may look at a text as often as it is large."""
        text = written(pattern)
        if text is None:
            self.open_pattern = True
            return 1
        self.patterns.append(text)
        self._once(work_of(text), bound, times)
        return 1 + 2 * size_of(text)

    def _contains(self, sought: bytes, size: int, times: int) -> int:
        """How often contains() may look at a text: where that begins like what is sought, at all of it in each place."""
        if size:
            self.squares += times * size
            return _CONTAINS
        text = written(sought)
        return _CONTAINS + (_LONGEST if text is None else len(text)) // _NEEDLE

    def _once(self, work: int, bound: Iterable[Variable], times: int) -> None:
        """Count work that doesn't depend on how large a message is."""
        if any(not variable.unrolled for variable in bound):
            self.each += times * work
        else:
            self.start += times * work

    def _loop(self, raw: bytes, bound: tuple[Variable, ...], times: int) -> int:
        self.deepest = max(self.deepest, len(bound) + 1)
        span = bytes_in(raw, 2)
        size = self.expression(span, bound, times)
        elements = _elements(span)
        unrolled = elements is not None
        if elements is None:
            self.crossing |= not is_path(span)  # a list written out may hold the same large value again and again
            self.deepest_looped = max(self.deepest_looped, 1 + sum(not variable.unrolled for variable in bound))
            if size != 1 or _builds(span):  # how long what is written out becomes nobody knows
                times, size = LOOP_STEPS, max(size, 1)
        else:
            times, size = min(times * max(elements, 1), LOOP_STEPS), min(size, 1)
        self.weight += times
        inner = (*bound, Variable(text_in(raw, 1), size, unrolled))
        for field in (5, 6):  # loop_condition, loop_step
            self.expression(bytes_in(raw, field), inner, times)
        return 0


def _elements(span: bytes) -> int | None:
    """How many elements a list has that is written out, each a constant or a path; None for anything else."""
    kind, value = kind_of(span)
    if kind != LIST:
        return None
    inside = list(parts(LIST, value))
    plain = all(is_constant(part) or (is_path(part) and kind_of(part)[0] != LIST) for part in inside)
    return len(inside) if plain else None


def _builds(raw: bytes) -> bool:
    """Whether there is a list or a map in an Expr that is written out and not empty."""
    kind, value = kind_of(raw)
    if kind == LOOP:
        return False  # true or false
    inside = list(parts(kind, value)) if kind in (SELECT, CALL, LIST, STRUCT) else []
    return (kind in (LIST, STRUCT) and bool(inside)) or any(map(_builds, inside))
