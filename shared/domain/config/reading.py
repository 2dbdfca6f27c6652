"""From JSON to a Document, with a pointer to every fault: msgspec names the first one only, so that each field is read by itself."""

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UnsetType

from shared.domain.config.document import MAX_DOCUMENT, Document
from shared.domain.errors import Fault, NotProcessable

MAX_FAULTS = 20

_AT = re.compile(r" - at `(?:key in )?\$[^`]*`$")


def read_document(value: Any) -> Document:
    """The document that a JSON value is. Raises NotProcessable with a fault for each field that can't be one, 20 at most."""
    if not isinstance(value, dict):
        raise refused([Fault("", "a document is an object")])
    try:
        if len(msgspec.json.encode(value)) > MAX_DOCUMENT:
            raise refused([Fault("", f"over {MAX_DOCUMENT} bytes")])
        return msgspec.convert(value, Document)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        faults = list(faults_of(value, Document, ""))
    raise refused(faults or [Fault("", "not JSON")])


def refused(faults: list[Fault]) -> NotProcessable:
    """The error of a document with faults."""
    more = "" if len(faults) <= MAX_FAULTS else f" (and {len(faults) - MAX_FAULTS} more)"
    return NotProcessable(f"the document doesn't hold{more}: {_sentence(faults[0])}", rule="document", faults=faults[:MAX_FAULTS])


def pointer(*parts: str | int) -> str:
    """The JSON pointer (RFC 6901) of a way down a document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1")[:200] for part in parts)


def _sentence(fault: Fault) -> str:
    return f"{fault.pointer or '/'}: {fault.detail}"


def faults_of(value: Any, wanted: Any, at: str) -> Iterator[Fault]:
    """The faults of a value that should be of type `wanted`: those of its parts where it has parts, else its own."""
    kind = _plain(wanted)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        yield from _struct_faults(value, kind, at)
    elif get_origin(kind) is tuple and isinstance(value, list):
        inner = [fault for index, item in enumerate(value) for fault in faults_of(item, get_args(kind)[0], at + pointer(index))]
        yield from inner or _own(value, wanted, at)
    else:
        yield from _own(value, wanted, at)


def _struct_faults(value: dict[Any, Any], kind: type[msgspec.Struct], at: str) -> Iterator[Fault]:
    types = get_type_hints(kind, include_extras=True)
    for name in value:
        if name not in types:
            yield Fault(at + pointer(name), "unknown field")
    for field in msgspec.structs.fields(kind):
        if field.name in value:
            yield from faults_of(value[field.name], types[field.name], at + pointer(field.name))
        elif field.required:
            yield Fault(at + pointer(field.name), "missing")


def _own(value: Any, wanted: Any, at: str) -> Iterator[Fault]:
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=wanted)
    except RecursionError:
        yield Fault(at, "nested too deep")
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        yield Fault(at, _AT.sub("", str(error)) if isinstance(error, msgspec.ValidationError) else "not JSON")


def _plain(wanted: Any) -> Any:
    """A field's type without its bounds, and without UNSET and None."""
    if get_origin(wanted) is Annotated:
        return _plain(get_args(wanted)[0])
    if get_origin(wanted) in (Union, UnionType):
        others = [part for part in get_args(wanted) if part not in (UnsetType, type(None))]
        return _plain(others[0]) if len(others) == 1 else wanted
    return wanted
