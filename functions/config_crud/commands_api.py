"""The same writes as CloudEvents, for Triggers: `switchboard.config.put`, `.patch`, `.delete` (contracts.md, "Events between functions").

The event's `subject` is the document's path; its data is `{"document" | "patch", "org", "reason", "if_match", "if_none_match"}`.
"""

from typing import Any

import msgspec
from fastapi import FastAPI

from functions.config_crud import documents
from functions.config_crud.bodies import CommandBody, parse
from functions.config_crud.documents import Admit, Target, path_of
from shared.domain.errors import Fault, Malformed
from shared.domain.json_text import parse as parse_json
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.revisions import Guard
from shared.edge.commands import Commands, add_commands
from shared.edge.writing import check_reason
from shared.resources import Resources

PUT, PATCH, DELETE = "switchboard.config.put", "switchboard.config.patch", "switchboard.config.delete"
COMMANDS = Commands("config-crud", (PUT, PATCH, DELETE), "switchboard.config.changed", "switchboard.config.refused")
CONTENT = {PUT: "document", PATCH: "patch"}  # the member that says what to write


def add(app: FastAPI, resources: Resources, admit: Admit) -> None:
    """Add the routes to the app."""

    async def run(caller: Principal, event: Message) -> dict[str, object]:
        return await _run(resources, admit, caller, event)

    add_commands(app, resources, COMMANDS, run)


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
