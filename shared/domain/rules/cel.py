"""CEL: one typed environment, and expressions compiled in it (cel-spec; cel-expr-python).

Names: `message.<attribute>` (those of facts.GETTERS), `principal.name`, `principal.org`, `data` (the body where it is JSON, else null) and
`now` (the time at which the message was received). The functions are CEL's standard ones with the macros has, all and exists; what copies
lists or joins texts (map, filter, exists_one, concatenation) is left out: a few characters of it ask for a gigabyte.

`message.subject`, `message.time`, `message.datacontenttype` and `message.dataschema` are "" where the event has none, which no event can
say; so they need no has(), and has() takes members of `data` and `message.extensions`.
"""

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import msgspec

from shared.domain.config.document import MAX_RULE_TEXT
from shared.domain.rules.admission import Shape, endless, joined, shape_of
from shared.domain.rules.patterns import MAX_SIZE, size_of

if TYPE_CHECKING:
    from cel_expr_python import cel

_TEXTS = ("id", "org", "topic", "subject", "source", "event_id", "type", "time", "datacontenttype", "dataschema", "door")
MAX_LOOPS = 2  # all() and exists() inside each other

_CONFIG = """
stdlib:
  include_macros: [has, all, exists]
  exclude_functions:
    - name: _+_
      overloads: [{id: add_string}, {id: add_bytes}, {id: add_list}]
"""
_PLACED = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_HAS = re.compile(r"\bhas\(\s*message\.(?!extensions\b)")


class Program(msgspec.Struct, frozen=True):
    """A compiled expression, true or false of a message. `shape` says which names it asks for, and how much work it can be."""

    text: str
    expression: "cel.Expression"
    shape: Shape


@cache
def environment() -> "cel.Env":
    """The one environment. The library is imported here: 14 MB that a process without any rule does without."""
    from cel_expr_python import cel

    text = cel.Type.STRING
    names: dict[str, cel.Type] = {f"message.{name}": text for name in _TEXTS}
    names |= {
        "message.size": cel.Type.INT,
        "message.extensions": cel.Type.Map(text, cel.Type.DYN),
        "principal.name": text,
        "principal.org": text,
        "data": cel.Type.DYN,
        "now": cel.Type.TIMESTAMP,
    }
    return cel.NewEnv(config=cel.NewEnvConfigFromYaml(_CONFIG), variables=names)


@lru_cache(maxsize=2048)
def compile_rule(text: str) -> Program:
    """A rule's expression. Raises ValueError, with what is wrong and where, unless it compiles, is a BOOL and within the limits."""
    if len(text) > MAX_RULE_TEXT:
        raise ValueError(f"over {MAX_RULE_TEXT} characters")
    program = _compiled(text)
    if program.shape.loops > MAX_LOOPS:
        raise ValueError(f"all() and exists() inside each other, more than {MAX_LOOPS} deep")
    _check_patterns(program.shape.patterns)
    if program.shape.open_zone:  # the library keeps each name for good that it was ever asked for, and opens files by them
        raise ValueError("getHours() and its like take a time zone that is written out, in quotes")
    if endless(program.shape):
        raise ValueError("could take more than a second on any message: loop over less, and match smaller patterns there")
    return program


def _check_patterns(patterns: tuple[str, ...] | None) -> None:
    """Raise ValueError unless all patterns of matches() are written out, small enough, and patterns."""
    if patterns is None:  # who sends a message could say what is worked on, and for how long
        raise ValueError("matches() takes a pattern that is written out, in quotes")
    if sum(map(size_of, patterns)) > MAX_SIZE:
        raise ValueError("the patterns of matches() are too large: repeat less, and smaller things")
    for pattern in patterns:
        said = _matching().eval(None, {"message.topic": "", "message.subject": pattern}).value()
        if isinstance(said, str):
            raise ValueError(f"matches(): {_said(said, '')}")


@cache
def _matching() -> "cel.Expression":
    return environment().compile("message.topic.matches(message.subject)")


@lru_cache(maxsize=256)
def any_of(texts: tuple[str, ...]) -> Program | None:
    """One expression that is false where all of these rules are, which compile each, and otherwise true or an error. None where it can't be
    compiled: together they may be nested deeper than the library takes."""
    programs = list(map(compile_rule, texts))
    if len(programs) == 1:
        return programs[0]
    text = " || ".join(f"({text}\n)" for text in texts)  # a line end after each: a rule may end in a comment
    try:
        return Program(text, _expression(text), joined([program.shape for program in programs]))
    except ValueError:
        return None


def _compiled(text: str) -> Program:
    expression = _expression(text)
    return Program(text, expression, shape_of(expression.serialize()))


def _expression(text: str) -> "cel.Expression":
    """What the library makes of a text; ValueError unless it is a BOOL."""
    from cel_expr_python import cel

    try:
        expression = environment().compile(text)
    except TypeError:
        raise ValueError("not text: it has half a surrogate pair") from None
    except RuntimeError as error:
        raise ValueError(_said(str(error), text)) from None
    if (kind := expression.return_type()) != cel.Type.BOOL:
        raise ValueError(f"is {kind.name()}, and not true or false{_hint(text)}")
    return expression


def _said(error: str, text: str) -> str:
    """The library's message without its drawing of the place."""
    found = _PLACED.search(error)
    if found is None:
        return error.removeprefix("INVALID_ARGUMENT: ").removeprefix("CANCELLED: ").partition(" [")[0][:300]
    place = f"line {found[1]}, column {found[2]}: " if int(found[1]) > 0 else ""
    return f"{place}{found[3].removesuffix(' (in container ' + repr('') + ')')}"[:300] + _hint(text)


def _hint(text: str) -> str:
    return '; an attribute of message that the event has not is "", so compare with that' if _HAS.search(text) else ""
