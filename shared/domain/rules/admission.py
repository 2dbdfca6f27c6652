"""How much work a CEL expression can be, read from its serialised form (cel.expr.CheckedExpr, cel-spec's checked.proto and syntax.proto).

The library has no cost limit: it counts loop steps, and a step may look at the whole body. So an expression's weight is worked out once,
and before it is evaluated weight and body say whether it is worth starting (`affordable`).
"""

import sys
from collections.abc import Iterator, Sequence, Set
from math import isqrt

import msgspec

from shared.domain.rules.patterns import size_of

# About 20 ns each; an expression that could take more than a second isn't started.
MAX_WORK = 50_000_000
_EXTENSION = 6  # work that comparing one extension is
_LOOP_STEPS = 10_000  # the library's own limit for one evaluation

_CHECKED, _ROOT = 2, 4  # google.protobuf.Any.value, CheckedExpr.expr
_IDENT, _SELECT, _CALL, _LIST, _STRUCT, _LOOP = 4, 5, 6, 7, 8, 9  # of Expr
_CONST, _STRING = 3, 6  # of Expr; of Constant
_LOGIC = frozenset((b"_&&_", b"_||_", b"!_", b"_?_:_", b"@not_strictly_false"))
_LARGE = frozenset(("data", "message.extensions"))


class Shape(msgspec.Struct, frozen=True):
    """`names` are the variables it asks for; `members` those of `data`, None where it asks for all of it. `weight`: how often it may look
    at all of a value. `loops`: how deep all() and exists() go inside each other. `crossing`: a loop's body looks at more than its own
    element, so that each step may cost the whole body. `patterns` are those of matches(), None where one isn't written out."""

    names: frozenset[str]
    members: frozenset[str] | None
    weight: int
    loops: int
    crossing: bool
    patterns: tuple[str, ...] | None
    cheap_below: int  # bytes of body that it may be evaluated on without another look


def shape_of(serialized: bytes) -> Shape:
    """The shape of an expression that was compiled, from what `serialize()` gives."""
    walk = _Walk()
    (checked,) = (value for field, value in _fields(serialized) if field == _CHECKED and isinstance(value, bytes))
    (root,) = (value for field, value in _fields(checked) if field == _ROOT and isinstance(value, bytes))
    walk.expression(root, (), 0)
    members = None if "data" in walk.names else frozenset(walk.members)
    names = frozenset(walk.names | {"data"} if walk.members else walk.names)
    weight = 1 + walk.weight
    patterns = None if walk.open_pattern else tuple(walk.patterns)
    return Shape(names, members, weight, walk.deepest, walk.crossing, patterns, _cheap_below(names, weight, walk.crossing, MAX_WORK))


def joined(shapes: Sequence[Shape]) -> Shape:
    """The shape of these expressions with "or" between them: what shape_of() would find in it, without another walk through all of it."""
    names = frozenset().union(*(shape.names for shape in shapes))
    members: frozenset[str] | None = frozenset()
    patterns: tuple[str, ...] | None = ()
    for shape in shapes:
        members = None if members is None or shape.members is None else members | shape.members
        patterns = None if patterns is None or shape.patterns is None else patterns + shape.patterns
    weight = 1 + sum(shape.weight - 1 for shape in shapes)
    loops, crossing = max(shape.loops for shape in shapes), any(shape.crossing for shape in shapes)
    return Shape(names, members, weight, loops, crossing, patterns, _cheap_below(names, weight, crossing, MAX_WORK))


def _cheap_below(names: Set[str], weight: int, crossing: bool, most: int) -> int:
    if "data" not in names:
        return sys.maxsize
    cheap = most // weight
    return max(isqrt(cheap), cheap // _LOOP_STEPS) if crossing else cheap  # a body of n bytes has no list longer than n


def affordable(shape: Shape, body: bytes | None, most: int = MAX_WORK) -> bool:
    """Whether an expression of that shape may be evaluated on data of that body, in `most` work at most."""
    cheap = shape.cheap_below if most == MAX_WORK else _cheap_below(shape.names, shape.weight, shape.crossing, most)
    if body is None or len(body) <= cheap:
        return True
    values = values_in(body)
    steps = min(values, _LOOP_STEPS) if shape.crossing else 1
    return shape.weight * steps * (values + len(body) // 16) <= most


def extensions_affordable(shape: Shape, count: int, most: int = MAX_WORK) -> bool:
    """The same for what its loops may do with the extensions of an event, which has so many: each step may compare all of them."""
    if not shape.loops or "message.extensions" not in shape.names:
        return True
    steps: int = min(count**shape.loops, _LOOP_STEPS)
    return _EXTENSION * count * steps * shape.weight <= most


def values_in(body: bytes) -> int:
    """How many values a JSON text has at most: those in its strings' punctuation are counted with them."""
    return 1 + body.count(b",") + body.count(b"[") + body.count(b"{")


class _Walk:
    """What is found on the way through an expression."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.members: set[str] = set()
        self.weight = 0
        self.deepest = 0
        self.crossing = False
        self.patterns: list[str] = []
        self.open_pattern = False

    def expression(self, raw: bytes, bound: tuple[str, ...], depth: int) -> None:
        """One Expr. `bound` are the loop variables in sight, the innermost loop's last; `depth` counts loops."""
        for field, value in _fields(raw):
            if not isinstance(value, bytes):
                continue
            if field == _IDENT:
                self._name(_text(value, 1), bound)
            elif field == _LOOP:
                self._loop(value, bound, depth)
            elif field == _SELECT and "data" not in bound and _is_name(_bytes(value, 1), "data"):
                self.members.add(_text(value, 2))
                self.crossing |= bool(bound)
            elif field in (_SELECT, _CALL, _LIST, _STRUCT):
                if field == _CALL and _bytes(value, 2) not in _LOGIC:
                    self.weight += 1 if _bytes(value, 2) != b"matches" else self._pattern(value)
                for part in _parts(field, value):
                    self.expression(part, bound, depth)

    def _pattern(self, call: bytes) -> int:
        """Note the pattern of a matches(). It may look at a text as often as it is large."""
        *_, pattern = _parts(_CALL, call)
        text = next((_text(value, _STRING) for field, value in _fields(pattern) if field == _CONST and isinstance(value, bytes)), None)
        if text is None:
            self.open_pattern = True
            return 1
        self.patterns.append(text)
        return 1 + size_of(text)

    def _name(self, name: str, bound: tuple[str, ...]) -> None:
        if name.startswith("@"):  # a loop's own result
            return
        if name not in bound:
            self.names.add(name)
            self.crossing |= bool(bound) and name in _LARGE
        elif name != bound[-1]:
            self.crossing = True

    def _loop(self, raw: bytes, bound: tuple[str, ...], depth: int) -> None:
        self.deepest = max(self.deepest, depth + 1)
        self.weight += 1
        span = _bytes(raw, 2)
        self.crossing |= not _is_path(span)  # a list written out may hold the same large value again and again
        self.expression(span, bound, depth)
        inner = (*bound, _text(raw, 1))
        for field in (5, 6):  # loop_condition, loop_step
            self.expression(_bytes(raw, field), inner, depth + 1)


def _is_path(raw: bytes) -> bool:
    """Whether an Expr is a name with members and constant indexes behind it, or holds nothing but constants."""
    for field, value in _fields(raw):
        if not isinstance(value, bytes) or field == _IDENT:
            continue
        if field == _SELECT:
            return _is_path(_bytes(value, 1))
        if field == _CALL and _bytes(value, 2) == b"_[_]":
            first, index = (part for part in _parts(_CALL, value))
            return _is_path(first) and _is_constant(index)
        return field in (_IDENT, _CONST) or (field == _LIST and all(map(_is_constant, _parts(_LIST, value))))
    return True


def _is_name(raw: bytes, name: str) -> bool:
    return any(field == _IDENT and isinstance(value, bytes) and _text(value, 1) == name for field, value in _fields(raw))


def _is_constant(raw: bytes) -> bool:
    return any(field == _CONST for field, _ in _fields(raw))


def _parts(kind: int, raw: bytes) -> Iterator[bytes]:
    """The expressions inside a select (operand), call (target, arguments), list (elements) or struct (keys and values of its entries)."""
    wanted = {_SELECT: (1,), _CALL: (1, 3), _LIST: (1,), _STRUCT: (2,)}[kind]
    for field, value in _fields(raw):
        if field in wanted and isinstance(value, bytes):
            if kind == _STRUCT:
                yield from (part for inner, part in _fields(value) if inner in (3, 4) and isinstance(part, bytes))
            else:
                yield value


def _bytes(raw: bytes, wanted: int) -> bytes:
    return next((value for field, value in _fields(raw) if field == wanted and isinstance(value, bytes)), b"")


def _text(raw: bytes, wanted: int) -> str:
    return _bytes(raw, wanted).decode()


def _fields(raw: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a protobuf message: number and value (a varint as a number, all else as bytes)."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        kind = tag & 7
        if kind == 0:
            number, at = _varint(raw, at)
            yield tag >> 3, number
            continue
        if kind == 2:
            size, at = _varint(raw, at)
        else:
            size = 8 if kind == 1 else 4
        yield tag >> 3, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = raw[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
