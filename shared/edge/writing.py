"""REST of what has revisions: bodies, preconditions and reasons that requests carry; JSON answers with entity tags."""

import contextlib
import re
from collections.abc import Mapping

import msgspec
from fastapi import Request, Response
from starlette.status import HTTP_200_OK

from shared.domain.errors import Fault, Malformed
from shared.domain.revisions import Guard, Stale
from shared.edge.body import Deadlines, Gone, read_body
from shared.edge.rest import problem_response
from shared.resources import Resources

MAX_BODY = 256 * 1024  # bytes
REASON = "switchboard-reason"
MAX_REASON = 500  # characters

_ETAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')  # RFC 9110, 8.8.3
_deadlines = Deadlines()


# ---- what requests carry --------------------------------------------------------------------------------------------------------


async def body_of(request: Request, resources: Resources) -> bytes:
    """The request's body. Raises TooLarge, Malformed."""
    try:
        return await read_body(request.receive, MAX_BODY, resources.flight, _deadlines)
    except Gone as error:
        raise Malformed("the body is not whole") from error


def guard_of(request: Request) -> Guard:
    """The request's preconditions. Raises Malformed for what isn't one. A weak tag never matches (RFC 9110, 13.1.1)."""
    create = _header(request, "if-none-match")
    if create not in (None, "*"):
        raise Malformed("If-None-Match takes * here", faults=[Fault("if-none-match", "not *")])
    given = _header(request, "if-match")
    if given is None or given == "*":
        return Guard(exists=given == "*", create=create == "*")
    return Guard(match=_revisions(given), create=create == "*")


def _revisions(text: str) -> frozenset[int]:
    tags = [part.strip() for part in text.split(",")]
    found = [_ETAG.fullmatch(tag) for tag in tags if tag]
    if not found or None in found:
        raise Malformed('If-Match takes entity tags as they were given: "42"', faults=[Fault("if-match", "not an entity tag")])
    strong = [match[2] for match in found if match is not None and match[1] is None]
    return frozenset(int(tag) for tag in strong if tag.isascii() and tag.isdigit() and len(tag) < 20)


def not_modified(request: Request, revision: int) -> bool:
    """Whether a GET says that it has this revision already: `If-None-Match` (RFC 9110, 13.1.2), weak comparison."""
    given = _header(request, "if-none-match") or ""
    return given == "*" or any(match[2] == str(revision) for match in _ETAG.finditer(given))


def _header(request: Request, name: str) -> str | None:
    """A header that is a list: its lines are one (RFC 9110, 5.3)."""
    lines = request.headers.getlist(name)
    return ", ".join(lines) if lines else None


def reason_of(request: Request) -> str:
    """Why something is changed, as the caller says it: kept with the revision."""
    lines = request.headers.getlist(REASON)
    if len(lines) > 1:
        raise Malformed("a change has one reason", faults=[Fault(REASON, "given more than once")])
    said = lines[0] if lines else ""
    with contextlib.suppress(UnicodeDecodeError):  # then it is Latin-1, as HTTP once had it
        said = said.encode("latin-1").decode()
    return check_reason(said)


def check_reason(said: str, pointer: str = REASON) -> str:
    """The reason itself. Raises Malformed where it is too long, or has control characters."""
    if len(said) > MAX_REASON or not said.isprintable():
        raise Malformed(f"a reason is at most {MAX_REASON} printable characters", faults=[Fault(pointer, "too long, or not printable")])
    return said


# ---- what answers look like -----------------------------------------------------------------------------------------------------


def json_answer(document: Mapping[str, object], status: int = HTTP_200_OK, revision: int | None = None) -> Response:
    """A JSON answer; `revision` is its entity tag."""
    return tagged_answer(msgspec.json.encode(document), status, revision)


def tagged_answer(body: bytes, status: int, revision: int | None) -> Response:
    """JSON text as an answer; `revision` is its entity tag."""
    headers = {"cache-control": "no-store"} | ({} if revision is None else {"etag": f'"{revision}"'})
    return Response(body, status, media_type="application/json", headers=headers)


async def stale_answer(request: Request, error: Exception) -> Response:
    """412, with the entity tag that would have matched."""
    assert isinstance(error, Stale)
    response = problem_response(error)
    if error.revision is not None:
        response.headers["etag"] = f'"{error.revision}"'
    return response
