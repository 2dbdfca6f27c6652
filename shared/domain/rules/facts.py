"""What rules are told of a message: each fact is worked out only where some rule of the scope asks for it, and once a message."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from shared.domain.message import Message, uuid_text
from shared.domain.principal import Principal
from shared.domain.rules.admission import Shape
from shared.domain.rules.cel import Program, environment

if TYPE_CHECKING:
    from cel_expr_python import cel

_read_json = msgspec.json.Decoder().decode
_LARGEST, _SMALLEST = (1 << 64) - 1, -(1 << 63)  # CEL's whole numbers: int and uint
NOT_JSON = object()
# The library takes a text to end at its first NUL, so that "paid\\0" would be "paid": rules see U+FFFD for each.
_NUL, _NO_NUL = b"\\u0000", "\ufffd"

Getter = Callable[[Message], Any]


@lru_cache(maxsize=64)  # a batch's messages were received together
def _time(received_at: int) -> datetime:
    return datetime.fromtimestamp(received_at / 1e6, UTC)


_TEXTS = ("org", "topic", "source", "event_id", "type", "door")
_OPTIONAL = ("subject", "time", "datacontenttype", "dataschema")

# By the name that a rule calls it, None being "" to it; `principal.name`, `principal.org` and `data` are Facts' own.
GETTERS: Mapping[str, Getter] = {
    **{f"message.{name}": attrgetter(name) for name in (*_TEXTS, *_OPTIONAL)},
    "message.id": lambda message: uuid_text(message.id),
    "message.size": lambda message: len(message.body or b""),
    "message.extensions": lambda message: message.extensions or {},
    "now": lambda message: _time(message.received_at),
}


class Needs(NamedTuple):
    """What a scope's expressions ask for: names of the message and how they are looked up; whether they ask for the principal; whether
    for `data`, and for which members of it (None: all of it)."""

    getters: tuple[tuple[str, Getter], ...]
    principal: bool
    data: bool
    members: tuple[str, ...] | None


def needs_of(shapes: Iterable[Shape]) -> Needs:
    """What expressions of these shapes ask for."""
    names: set[str] = set()
    members: set[str] | None = set()
    for shape in shapes:
        names |= shape.names
        members = None if members is None or shape.members is None else members | shape.members
    return Needs(
        tuple((name, GETTERS[name]) for name in sorted(names) if name in GETTERS),
        not names.isdisjoint(("principal.name", "principal.org")),
        "data" in names,
        None if members is None else tuple(sorted(members)),
    )


class Facts:
    """One message, and what was worked out of it. Not shared between threads."""

    __slots__ = ("_activation", "_data", "_needs", "_tame", "_values", "message", "principal")

    def __init__(self, message: Message, principal: Principal, needs: Needs) -> None:
        self.message: Message = message
        self.principal: Principal = principal
        self._needs = needs
        self._data: Any = self  # not yet read: no JSON value is this
        self._tame = False
        self._values: dict[str, Any] | None = None
        self._activation: cel.Activation | None = None

    def data(self) -> Any:
        """The body's value; NOT_JSON where there is none, or it can't be read as what it says it is."""
        if self._data is self:
            self._data = read_data(self.message)
        return self._data

    def withhold_data(self) -> None:
        """The body isn't whole: `data` is as if it weren't JSON."""
        self._data = NOT_JSON

    def ask(self, program: Program) -> Any:
        """What an expression says: true or false; a text where it can't be evaluated, which says how.

        The first is given the values, the second and all after it an activation, which costs as much as an evaluation once and then
        saves half of each.
        """
        try:
            if self._values is None:
                return program.expression.eval(None, self._looked_up()).value()
            if self._activation is None:
                self._activation = environment().Activation(self._values)
            return program.expression.eval(self._activation).value()
        except RuntimeError as error:  # its iteration budget is spent, or a text that it can't take
            return str(error)

    def _looked_up(self) -> dict[str, Any]:
        message, needs = self.message, self._needs
        values = self._values = {}
        for name, get in needs.getters:
            value = get(message)
            values[name] = "" if value is None else value
        if needs.principal:
            values["principal.name"], values["principal.org"] = self.principal.name, self.principal.org
        if needs.data:
            values["data"] = self.asked_data()
        return values

    def asked_data(self) -> Any:
        """`data` as rules see it: null where the body isn't JSON; of an object only what they ask for, since all of it is converted."""
        data = self.data()
        if data is NOT_JSON:
            return None
        members = self._needs.members
        if members is not None and isinstance(data, dict):
            asked = {}
            for name in members:  # a comprehension is a call
                if name in data:
                    asked[name] = data[name]
            data = asked
        body = self.message.body
        return _tamed(data) if self._tame or (body is not None and b"\\" in body and _NUL in body) else data

    def tame(self) -> None:
        """From here on, numbers beyond 64 bits are floating point. Worth its walk through the data only when an evaluation failed."""
        self._tame = True
        self._values = self._activation = None


def read_data(message: Message) -> Any:
    """The value of a message's body, NOT_JSON where it has none. Numbers that don't fit a double are infinite."""
    body = message.body
    if body is None or not says_json(message.datacontenttype):
        return NOT_JSON
    try:
        return _read_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_odd(body)


@lru_cache(maxsize=1024)
def says_json(datacontenttype: str | None) -> bool:
    """Whether a content type means JSON: subtype `json` or `+json`, or none at all (CloudEvents JSON format, 3.1)."""
    if datacontenttype is None:
        return True
    subtype = datacontenttype.partition(";")[0].strip().lower().partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def _read_odd(body: bytes) -> Any:
    """JSON whose numbers msgspec doesn't take: over 1e308, or with more than 43 digits."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
        return json.loads(body, parse_int=lambda text: int(text) if len(text) < 40 else float(text))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return NOT_JSON


def _tamed(value: Any) -> Any:
    """A copy that CEL can be given. In loops, not comprehensions: those take a frame of their own a level, and data may have 512."""
    if isinstance(value, dict):
        members = {}
        for key, inner in value.items():
            members[key.replace("\0", _NO_NUL)] = _tamed(inner)
        return members
    if isinstance(value, list):
        items = []
        for inner in value:
            items.append(_tamed(inner))  # noqa: PERF401
        return items
    if isinstance(value, str):
        return value.replace("\0", _NO_NUL)
    return float(value) if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST else value
