"""The same changes as CloudEvents, for Triggers: `switchboard.backbone.add`, `.update`, `.remove` (contracts.md, "Events between
functions"). `subject` is the backbone's id (with add, whatever you like); data is `{"backbone", "reason", "if_match"}`, and
with remove `abandon`."""

from typing import Any

import msgspec
from fastapi import FastAPI

from functions.registry_crud import handler, views
from shared.domain.config.reading import faults_of
from shared.domain.errors import Fault, Malformed
from shared.domain.json_text import parse
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.registry.deciding import Written
from shared.domain.registry.spec import Chart
from shared.domain.revisions import Guard
from shared.edge.commands import Commands, add_commands
from shared.edge.writing import check_reason
from shared.resources import Resources

ADD, UPDATE, REMOVE = "switchboard.backbone.add", "switchboard.backbone.update", "switchboard.backbone.remove"
COMMANDS = Commands("registry-crud", (ADD, UPDATE, REMOVE), "switchboard.backbone.changed", "switchboard.backbone.refused")


class CommandBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a command's event carries. Whether `backbone` holds is said of it, not of the body."""

    backbone: Any = None
    reason: str = ""
    if_match: int | None = None
    abandon: bool = False


def add(app: FastAPI, resources: Resources, chart: Chart) -> None:
    """Add the routes to the app."""

    async def run(caller: Principal, event: Message) -> dict[str, object]:
        written = await _run(resources, chart, caller, event)
        kept = written.kept
        return {
            "id": event.subject if kept is None else views.id_of(kept.declared),
            "revision": written.revision,
            "changed": written.changed,
            "backbone": None if kept is None else views.view(kept, caller),
        }

    add_commands(app, resources, COMMANDS, run)


async def _run(resources: Resources, chart: Chart, caller: Principal, event: Message) -> Written:
    """What became of the command. Raises what the REST call would."""
    if event.subject is None and event.type != ADD:
        raise Malformed("the subject says which backbone: its id", faults=[Fault("/subject", "missing")])
    body = _body(parse(event.body or b"{}"))
    if event.type != REMOVE and body.backbone is None:
        raise Malformed("data.backbone is missing", faults=[Fault("/data/backbone", "missing")])
    registry, reason = await resources.registry(), check_reason(body.reason, "/data/reason")
    guard = Guard(None if body.if_match is None else frozenset((body.if_match,)))
    if event.type == ADD:
        make_keys = (await resources.trusts()).make
        return await handler.add_backbone(registry, chart, caller, body.backbone, reason, make_keys)
    id = event.subject or ""
    if event.type == UPDATE:
        return await handler.update_backbone(registry, chart, caller, id, body.backbone, guard, reason)
    remove = handler.abandon_backbone if body.abandon else handler.remove_backbone
    return await remove(registry, caller, id, guard, reason)


def _body(value: Any) -> CommandBody:
    try:
        return msgspec.convert(value, CommandBody)
    except msgspec.ValidationError as error:
        faults = list(faults_of(value, CommandBody, "/data")) or [Fault("/data", str(error))]
        raise Malformed(f"the data is not as it should be: {faults[0].pointer}: {faults[0].detail}", faults=faults) from None
