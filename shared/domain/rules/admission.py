"""How much work a CEL expression can be on a message.

The library has no cost limit: it counts loop steps, and a step may look at the whole body, or compile a pattern. So an expression's weight
is worked out once (weighing.py), and before it is evaluated weight and message say whether it is worth starting (`affordable`).
"""

import sys
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter

import msgspec

from shared.domain.message import Message
from shared.domain.rules.serialized import root_of
from shared.domain.rules.weighing import LONG_TEXTS, LOOP_STEPS, Walk

# About 20 ns each; an expression that could take more than a second isn't started.
MAX_WORK = 50_000_000
_EXTENSION = 6  # work that comparing one extension is
_LINE = 16  # bytes of text that are as much work as a value
_SQUARE = 32  # contains() of what the message says, in what it says: so much of the square of its size
_SHORT, _LONG = 1_024 // _LINE, 65_536 // _LINE  # what topic and subject are at most; what an event's attributes are, all together
_TEXTS = tuple((f"message.{name}", attrgetter(name)) for name in ("topic", "subject", *LONG_TEXTS))
_LARGEST_BODY = 16 << 20  # bytes: more than any is


class Shape(msgspec.Struct, frozen=True):
    """`names` are the variables it asks for; `members` those of `data`, None where it asks for all of it. `loops`: how deep all() and
    exists() go inside each other. `patterns` are those of matches(), None where one isn't written out.

    Loops over lists that are written out count as if each step were; the others are told by the message. `weight`: how often it may look
    at all of a value, `looped_weight` in these other loops, `looped` of them inside each other. `crossing`: a body of theirs looks at more
    than its own element, so that each step may cost the whole value; `long_in_loops`: at a long text beside data. `squares`: how many
    contains() seek what the message says. `start` and `each`: work that is the same for all messages, once and for each step.
    `open_zone`: a time zone isn't written out."""

    names: frozenset[str]
    members: frozenset[str] | None
    weight: int
    looped_weight: int
    squares: int
    start: int
    each: int
    loops: int
    looped: int
    crossing: bool
    long_in_loops: bool
    open_zone: bool
    patterns: tuple[str, ...] | None
    cheap_below: int = 0  # bytes of body that it may be evaluated on without another look; -1: it takes one, whatever the body


def shape_of(serialized: bytes) -> Shape:
    """The shape of an expression that was compiled, from what `serialize()` gives."""
    walk = Walk()
    walk.expression(root_of(serialized), (), 1)
    return _limited(
        Shape(
            names=frozenset(walk.names | {"data"} if walk.members else walk.names),
            members=None if "data" in walk.names else frozenset(walk.members),
            weight=1 + walk.weight,
            looped_weight=walk.looped_weight,
            squares=walk.squares,
            start=walk.start,
            each=walk.each,
            loops=walk.deepest,
            looped=walk.deepest_looped,
            crossing=walk.crossing,
            long_in_loops=walk.long_in_loops,
            open_zone=walk.open_zone,
            patterns=None if walk.open_pattern else tuple(walk.patterns),
        )
    )


def joined(shapes: Sequence[Shape]) -> Shape:
    """The shape of these expressions with "or" between them: what shape_of() would find in it, without another walk through all of it."""
    members: frozenset[str] | None = frozenset()
    patterns: tuple[str, ...] | None = ()
    for shape in shapes:
        members = None if members is None or shape.members is None else members | shape.members
        patterns = None if patterns is None or shape.patterns is None else patterns + shape.patterns
    return _limited(
        Shape(
            names=frozenset().union(*(shape.names for shape in shapes)),
            members=members,
            weight=1 + sum(shape.weight - 1 for shape in shapes),
            looped_weight=sum(shape.looped_weight for shape in shapes),
            squares=sum(shape.squares for shape in shapes),
            start=sum(shape.start for shape in shapes),
            each=sum(shape.each for shape in shapes),
            loops=max(shape.loops for shape in shapes),
            looped=max(shape.looped for shape in shapes),
            crossing=any(shape.crossing for shape in shapes),
            long_in_loops=any(shape.long_in_loops for shape in shapes),
            open_zone=any(shape.open_zone for shape in shapes),
            patterns=patterns,
        )
    )


def _limited(shape: Shape) -> Shape:
    """The shape, with the size of body below which nobody has to look."""

    texts = _SHORT if shape.names.isdisjoint(f"message.{name}" for name in LONG_TEXTS) else _SHORT + _LONG

    def work(size: int) -> int:
        return work_of(shape, size + 1, size // _LINE, 0, texts)  # a body of n bytes has no more values than n

    if "data" not in shape.names:
        return msgspec.structs.replace(shape, cheap_below=sys.maxsize if work(0) <= MAX_WORK else -1)
    cheap = bisect_right(range(_LARGEST_BODY), MAX_WORK, key=work) - 1
    return msgspec.structs.replace(shape, cheap_below=cheap)


def work_of(shape: Shape, values: int, lines: int, extensions: int, texts: int) -> int:
    """How much work an expression of that shape can be where data has so many values and lines of text, and so many extensions and lines
    of text are beside it."""
    if "data" not in shape.names:
        values = lines = 0
    beside = texts + _EXTENSION * extensions
    size = values + lines + beside
    weight = shape.weight + shape.squares * size // _SQUARE
    work = shape.start + weight * size
    if not shape.looped:
        return work
    steps: int = min((values + extensions) ** shape.looped, LOOP_STEPS)
    if shape.crossing:
        return work + steps * (shape.each + weight * size)
    if shape.long_in_loops:
        return work + steps * (shape.each + shape.looped_weight * beside)
    return work + steps * shape.each


def affordable(shape: Shape, message: Message, most: int = MAX_WORK) -> bool:
    """Whether an expression of that shape may be evaluated on that message, in `most` work at most."""
    body, extensions = message.body or b"", message.extensions or {}
    if not extensions and most == MAX_WORK and len(body) <= shape.cheap_below:
        return True
    names = shape.names
    if "message.extensions" not in names:
        extensions = {}
    texts = sum(len(value) for value in extensions.values() if isinstance(value, str | bytes))
    texts += sum(len(read(message) or "") for name, read in _TEXTS if name in names)
    values = values_in(body) if "data" in names else 0
    return work_of(shape, values, len(body) // _LINE, len(extensions), texts // _LINE + 1) <= most


def endless(shape: Shape, most: int = MAX_WORK) -> bool:
    """Whether an expression of that shape could take too long on any message, be it as small as can be."""
    return work_of(shape, 1, 0, 0, 1) > most


def values_in(body: bytes) -> int:
    """How many values a JSON text has at most: those in its strings' punctuation are counted with them."""
    return 1 + body.count(b",") + body.count(b"[") + body.count(b"{")
