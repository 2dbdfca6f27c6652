"""Commands: writes as CloudEvents, for Triggers (contracts.md, "Events between functions"). Whoever sends one is who the request's
Authorization says, and may do what the REST call would let them."""

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, NamedTuple
from uuid import uuid4

import msgspec
from fastapi import Depends, FastAPI, Request, Response

from shared.codec import Context, decode_http
from shared.codec.attributes import header_value
from shared.domain.errors import Fault, Forbidden, Malformed, SwitchboardError
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.revisions import Stale
from shared.edge.hops import goes_back
from shared.edge.problems import problem_document
from shared.edge.rest import caller
from shared.edge.writing import body_of
from shared.resources import Resources

Caller = Annotated[Principal, Depends(caller)]
Run = Callable[[Principal, Message], Awaitable[dict[str, object]]]  # what the reply says; raises what the REST call would


class Commands(NamedTuple):
    """The commands of one function: its name in events, the types it takes, and the types of its replies."""

    function: str
    types: Collection[str]
    changed: str
    refused: str


def add_commands(app: FastAPI, resources: Resources, commands: Commands, run: Run) -> None:
    """Add the routes to the app. At the front these paths are ingest's: commands go to the function itself."""

    async def take(request: Request, caller: Caller) -> Response:
        event = _event(request, await body_of(request, resources), caller, commands.types)
        source = f"/clusters/{resources.settings.cluster}/{commands.function}"
        try:
            _check_org(caller, event)
            return _reply(source, commands.changed, event.subject, await run(caller, event))
        except SwitchboardError as error:
            if goes_back(error):
                raise
            told = problem_document(error)
            if isinstance(error, Stale) and error.revision is not None:
                told["etag"] = f'"{error.revision}"'
            return _reply(source, commands.refused, event.subject, told)

    for path in ("/", "/v1/events"):
        app.add_api_route(path, take, methods=["POST"], include_in_schema=False)


def _event(request: Request, body: bytes, caller: Principal, types: Collection[str]) -> Message:
    """The command's event. Raises Malformed."""
    headers = request.scope["headers"]
    content_type = next((value for name, value in headers if name == b"content-type"), None)
    decoded = decode_http(content_type, headers, body, Context(caller.org, "http", caller.name, time.time_ns() // 1000))
    if not decoded.single:
        raise Malformed("commands come one by one, not as a batch")
    [event] = decoded.items
    if isinstance(event, Malformed):
        raise event
    if event.type not in types:
        raise Malformed(f"only events of the types {', '.join(types)} are taken here", faults=[Fault("/type", "not a command")])
    return event


def _check_org(caller: Principal, event: Message) -> None:
    """Raise Forbidden where the event claims another org than its principal's, as at every door: which org is meant is in its data."""
    claimed = (event.extensions or {}).get("org")
    if claimed is not None and claimed != caller.org:
        detail = "the event names an org that isn't its principal's; a system admin names another in data.org"
        raise Forbidden(detail, rule="org", faults=[Fault("/org", "not the principal's org")])


def _reply(source: str, type: str, subject: str | None, data: dict[str, object]) -> Response:
    """An event in binary mode. The subject is ASCII in it: whatever else a path has is percent-encoded (HTTP binding, 3.1.3.2)."""
    headers = {
        "ce-specversion": "1.0",
        "ce-type": type,
        "ce-source": source,
        "ce-id": uuid4().hex,
        "cache-control": "no-store",
    }
    if subject is not None:
        headers["ce-subject"] = header_value(subject)
    return Response(msgspec.json.encode(data), media_type="application/json", headers=headers)
