"""A request's target: UTF-8, and parameters that are known and there once. What frameworks make of anything else is another target:
bytes that are no text become U+FFFD, of a parameter that is there twice the last counts, and a misspelt one is left out."""

from urllib.parse import unquote_to_bytes

from fastapi import Request
from fastapi.routing import APIRoute

from shared.domain.errors import Fault, Malformed
from shared.edge.asgi import Scope


def check_text(scope: Scope) -> None:
    """Raise Malformed, naming the path or the parameter, for what is no UTF-8 and for a NUL in a parameter, which no store can look for."""
    if _text(scope.get("raw_path") or b"") is None:
        raise _wrong("path", "not UTF-8")
    for part in scope["query_string"].split(b"&"):
        name, _, value = part.partition(b"=")
        called = _text(name.replace(b"+", b" "))
        text = None if called is None else _text(value)
        if text is None or "\0" in text:
            raise _wrong(_printable(name if called is None else called), "not UTF-8" if text is None else "has a NUL character")


def check_parameters(request: Request) -> None:
    """A dependency: raise Malformed naming a parameter that the route doesn't have, or that is there more than once.

    Not for commands, and what processes of the install ask: all of their target is under a proof.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not route.include_in_schema or (route.openapi_extra or {}).get("security") == []:
        return
    known = {field.alias for field in route.dependant.query_params}
    asked = [name for name, _ in request.query_params.multi_items()]
    for name in asked:
        if name not in known:
            here = f"there are {', '.join(sorted(known))}" if known else "there are none"
            raise _wrong(_printable(name), f"not a parameter here; {here}")
        if asked.count(name) > 1:
            raise _wrong(name, "given more than once")


def _text(escaped: bytes) -> str | None:
    try:
        return unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError:
        return None


def _printable(name: str | bytes) -> str:
    text = name.decode("ascii", "backslashreplace") if isinstance(name, bytes) else name
    return "".join(char if char.isprintable() else "?" for char in text[:100])


def _wrong(name: str, detail: str) -> Malformed:
    return Malformed(f"{name}: {detail}", faults=[Fault(name, detail)])
