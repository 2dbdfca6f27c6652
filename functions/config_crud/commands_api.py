"""The same writes as CloudEvents, for Triggers: `switchboard.config.put`, `.patch`, `.delete` (contracts.md, "Events between functions").

The event's `subject` is the document's path; its data is `{"document" | "patch", "org", "reason", "if_match", "if_none_match"}`. Whoever
sends it is who the request's Authorization says, and may do what the REST call would let them.
"""

import time
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from fastapi import Depends, FastAPI, Request, Response

from functions.config_crud import documents
from functions.config_crud.bodies import CommandBody, parse
from functions.config_crud.documents import Admit, Target, path_of
from shared.codec import Context, decode_http
from shared.codec.attributes import header_value
from shared.domain.errors import Fault, Malformed, SwitchboardError
from shared.domain.json_text import parse as parse_json
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.revisions import Guard, Stale
from shared.edge.hops import goes_back
from shared.edge.problems import problem_document
from shared.edge.rest import caller
from shared.edge.writing import body_of, check_reason
from shared.resources import Resources

PUT, PATCH, DELETE = "switchboard.config.put", "switchboard.config.patch", "switchboard.config.delete"
CHANGED, REFUSED = "switchboard.config.changed", "switchboard.config.refused"
CONTENT = {PUT: "document", PATCH: "patch"}  # the member that says what to write

Caller = Annotated[Principal, Depends(caller)]


def add(app: FastAPI, resources: Resources, admit: Admit) -> None:
    """Add the routes to the app. At the front these paths are ingest's: commands go to config-crud itself."""

    async def take(request: Request, caller: Caller) -> Response:
        body = await body_of(request, resources)
        event = _event(request, body, caller)
        cluster = resources.settings.cluster
        try:
            return _reply(cluster, CHANGED, event.subject, await _run(resources, admit, caller, event))
        except SwitchboardError as error:
            if goes_back(error):
                raise
            told = problem_document(error)
            if isinstance(error, Stale) and error.revision is not None:
                told["etag"] = f'"{error.revision}"'
            return _reply(cluster, REFUSED, event.subject, told)

    for path in ("/", "/v1/events"):
        app.add_api_route(path, take, methods=["POST"], include_in_schema=False)


def _event(request: Request, body: bytes, caller: Principal) -> Message:
    """The command's event. Raises Malformed."""
    headers = request.scope["headers"]
    content_type = next((value for name, value in headers if name == b"content-type"), None)
    decoded = decode_http(content_type, headers, body, Context(caller.org, "http", caller.name, time.time_ns() // 1000))
    if not decoded.single:
        raise Malformed("commands come one by one, not as a batch")
    [event] = decoded.items
    if isinstance(event, Malformed):
        raise event
    if event.type not in (PUT, PATCH, DELETE):
        raise Malformed(f"only events of the types {PUT}, .patch and .delete are taken here", faults=[Fault("/type", "not a command")])
    return event


async def _run(resources: Resources, admit: Admit, caller: Principal, event: Message) -> dict[str, object]:
    """What the event's reply says. Raises what the REST call would."""
    if event.subject is None:
        raise Malformed("the subject says which document: topics/orders.>, org, ...", faults=[Fault("/subject", "missing")])
    text = event.body or b"{}"
    body = parse(CommandBody, text)
    value: Any = parse_json(text)
    content = CONTENT.get(event.type)
    if content is not None and content not in value:
        raise Malformed(f"data.{content} is missing", faults=[Fault(f"/data/{content}", "missing")])
    guard = Guard(None if body.if_match is None else frozenset((body.if_match,)), create=body.if_none_match is not None)
    target = Target(body.org, path_of(event.subject), guard, check_reason(body.reason, "/data/reason"))
    store = await resources.config()
    if event.type == DELETE:
        return {"path": target.path.text, "revision": await documents.delete_document(store, caller, target), "document": None}
    write = documents.put_document if event.type == PUT else documents.patch_document
    written = await write(store, admit, caller, target, value[content])
    now = written.document
    return {"path": target.path.text, "revision": now.revision, "changed": written.changed, "document": msgspec.Raw(now.text)}


def _reply(cluster: str, type: str, subject: str | None, data: dict[str, object]) -> Response:
    """An event in binary mode. The subject is ASCII in it: whatever else a path has is percent-encoded (HTTP binding, 3.1.3.2)."""
    headers = {
        "ce-specversion": "1.0",
        "ce-type": type,
        "ce-source": f"/clusters/{cluster}/config-crud",
        "ce-id": uuid4().hex,
        "cache-control": "no-store",
    }
    if subject is not None:
        headers["ce-subject"] = header_value(subject)
    return Response(msgspec.json.encode(data), media_type="application/json", headers=headers)
