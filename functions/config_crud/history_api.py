"""`/v1/config/revisions`, `/diff`, `/rollback`: what config was, and back to it."""

from typing import Annotated

from fastapi import Depends, FastAPI, Path, Query, Request, Response

from functions.config_crud import history, shapes
from functions.config_crud.answers import before_and_after, change_view, revision_view
from functions.config_crud.bodies import RollbackBody, parse
from functions.config_crud.documents import Admit
from shared.domain.errors import Fault, Malformed
from shared.domain.principal import Principal
from shared.edge import described
from shared.edge.rest import caller
from shared.edge.writing import body_of, json_answer, reason_of
from shared.resources import Resources

Caller = Annotated[Principal, Depends(caller)]
Org = str | None
NUMBER = {"type": "integer"}
LATEST = 2**63 - 2  # more than a revision can be

_ROLLED_BACK = {
    "revision": {"type": ["integer", "null"], "description": "null: nothing differed, and nothing was changed."},
    "to": NUMBER,
    "path": {"const": "rollback"},
    "before": {"type": ["object", "null"]},
    "after": {"type": ["object", "null"]},
    "changes": {"type": "array", "items": shapes.CHANGE},
}


def add(app: FastAPI, resources: Resources, admit: Admit) -> None:
    """Add the routes to the app."""

    @app.get(
        "/v1/config/revisions",
        summary="Revisions that touched the org, or everybody; newest first",
        responses=described.answers("A page; `next` is null on the last one", described.items_of(shapes.REVISION)),
    )
    async def list_revisions(
        caller: Caller,
        org: Org = described.ORG,
        limit: int = Query(50, ge=1, le=200, description="Most items of a page. A page of large documents has fewer."),
        cursor: str | None = Query(None, description="`next` of the page before."),
        path: str | None = Query(None, description="Only those about this path: `topics/orders.>`, `principals/shop`, `rollback`."),
    ) -> Response:
        page, following = await history.list_revisions(await resources.config(), caller, org, limit, _number(cursor), path)
        return json_answer({"items": [revision_view(one) for one in page], "next": None if following is None else str(following)})

    @app.get("/v1/config/revisions/{number}", summary="One revision", responses=described.answers("The revision", shapes.REVISION))
    async def read_revision(caller: Caller, number: Annotated[int, Path(ge=0, le=LATEST)], org: Org = described.ORG) -> Response:
        return json_answer(revision_view(await history.read_revision(await resources.config(), caller, org, number)))

    differs = described.object_of(**{"from": NUMBER, "to": NUMBER, "changes": {"type": "array", "items": shapes.CHANGE}})

    @app.get(
        "/v1/config/diff",
        summary="What differs between two states of the org's documents, and of `global`",
        responses=described.answers("The documents that differ", differs),
    )
    async def diff(
        caller: Caller,
        start: int = Query(alias="from", ge=0, le=LATEST, description="A revision: the state that it made."),
        end: int | None = Query(None, alias="to", ge=0, le=LATEST, description="Another. Default: the one in force."),
        org: Org = described.ORG,
    ) -> Response:
        found = await history.diff(await resources.config(), caller, org, start, end)
        return json_answer({"from": found.start, "to": found.end, "changes": [change_view(one) for one in found.changes]})

    @app.post(
        "/v1/config/rollback",
        summary="Make the org's documents what they were at a revision, byte for byte, in one revision; never principals, keys or grants",
        responses=described.answers("What it changed", described.object_of(**_ROLLED_BACK)),
        openapi_extra=described.headers("switchboard-reason") | described.body(RollbackBody.model_json_schema()),
    )
    async def rollback(request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        body = parse(RollbackBody, await body_of(request, resources))
        reason = reason_of(request)
        store = await resources.config()
        revision, changes = await history.rollback(store, admit, caller, org, body.to, reason, everybodys=body.everybodys)
        before, after = before_and_after("rollback", changes)
        told = {"revision": revision, "to": body.to, "path": "rollback", "before": before, "after": after}
        return json_answer({**told, "changes": [change_view(one) for one in changes]})


def _number(cursor: str | None) -> int | None:
    """The revision that a page ended with. Raises Malformed for what no page said."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise Malformed("the cursor is not one: use `next` of the page before", faults=[Fault("cursor", "not a cursor")])
    return int(cursor)
