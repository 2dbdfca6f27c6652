"""A compiled CEL expression as it is serialised (cel.expr.CheckedExpr: cel-spec's checked.proto and syntax.proto)."""

from collections.abc import Iterator

IDENT, SELECT, CALL, LIST, STRUCT, LOOP = 4, 5, 6, 7, 8, 9  # of Expr
CONST = 3
_CHECKED, _ROOT = 2, 4  # google.protobuf.Any.value, CheckedExpr.expr
_STRING = 6  # of Constant
_INSIDE = {SELECT: (1,), CALL: (1, 3), LIST: (1,), STRUCT: (2,)}


def root_of(serialized: bytes) -> bytes:
    """The outermost Expr of what the library's `serialize()` gives."""
    return bytes_in(bytes_in(serialized, _CHECKED), _ROOT)


def kind_of(raw: bytes) -> tuple[int, bytes]:
    """What an Expr is, IDENT to LOOP or CONST, and what it is made of; (0, b"") for none."""
    for field, value in fields(raw):
        if isinstance(value, bytes) and CONST <= field <= LOOP:
            return field, value
    return 0, b""


def parts(kind: int, raw: bytes) -> Iterator[bytes]:
    """The expressions inside a select (operand), call (target, arguments), list (elements) or struct (keys and values of its entries)."""
    wanted = _INSIDE[kind]
    for field, value in fields(raw):
        if field in wanted and isinstance(value, bytes):
            if kind == STRUCT:
                yield from (part for inner, part in fields(value) if inner in (3, 4) and isinstance(part, bytes))
            else:
                yield value


def written(raw: bytes) -> str | None:
    """The text that an Expr is, where it is one that is written out."""
    kind, value = kind_of(raw)
    return (
        next((text.decode() for field, text in fields(value) if field == _STRING and isinstance(text, bytes)), None)
        if kind == CONST
        else None
    )


def is_constant(raw: bytes) -> bool:
    """Whether an Expr is a constant."""
    return kind_of(raw)[0] == CONST


def is_path(raw: bytes) -> bool:
    """Whether an Expr is a name with members and constant indexes behind it, or holds nothing but constants."""
    kind, value = kind_of(raw)
    if kind == SELECT:
        return is_path(bytes_in(value, 1))
    if kind == CALL and bytes_in(value, 2) == b"_[_]":
        first, index = parts(CALL, value)
        return is_path(first) and is_constant(index)
    return kind in (0, IDENT, CONST) or (kind == LIST and all(map(is_constant, parts(LIST, value))))


def is_name(raw: bytes, name: str) -> bool:
    """Whether an Expr is that name."""
    kind, value = kind_of(raw)
    return kind == IDENT and text_in(value, 1) == name


def bytes_in(raw: bytes, wanted: int) -> bytes:
    """The bytes of a field, b"" where it isn't there."""
    return next((value for field, value in fields(raw) if field == wanted and isinstance(value, bytes)), b"")


def text_in(raw: bytes, wanted: int) -> str:
    """The text of a field."""
    return bytes_in(raw, wanted).decode()


def fields(raw: bytes) -> Iterator[tuple[int, bytes | int]]:
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
