"""`/v1/backbones`: NATS deployments, declared here, deployed and watched by the reconciler."""

from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request, Response

from functions.registry_crud import handler, views
from functions.registry_crud.answers import kept_answer, written_answer
from functions.registry_crud.pages import CURSOR, LIMIT, page_of
from shared.domain.errors import Fault, Malformed
from shared.domain.json_text import parse
from shared.domain.principal import Principal
from shared.domain.registry.reading import BackboneBody
from shared.domain.registry.spec import Chart
from shared.edge import described
from shared.edge.rest import caller
from shared.edge.writing import body_of, guard_of, json_answer, reason_of
from shared.resources import Resources

BACKBONES = "/v1/backbones"
ONE = BACKBONES + "/{id}"
Caller = Annotated[Principal, Depends(caller)]
BODY = described.body(views.reference(BackboneBody))
ABANDON = Query(False, description="Forget one that is being deleted and can't be taken away; what is left of it stays where it is.")
IN_CLUSTER = Query(None, max_length=40, description="Only those in this cluster.")


def add(app: FastAPI, resources: Resources, chart: Chart) -> None:
    """Add the routes to the app."""
    _add_reads(app, resources)
    _add_writes(app, resources, chart)


def _add_reads(app: FastAPI, resources: Resources) -> None:
    @app.get(
        BACKBONES,
        summary="The org's backbones and the shared ones",
        responses=described.answers("By id", described.items_of(views.BACKBONE)),
    )
    async def list_backbones(
        caller: Caller,
        org: str | None = described.ORG,
        cluster: str | None = IN_CLUSTER,
        limit: int = LIMIT,
        cursor: str | None = CURSOR,
    ) -> Response:
        found, following = page_of(await handler.list_backbones(await resources.registry(), caller, org, cluster), limit, cursor)
        return json_answer({"items": [views.view(kept, caller) for kept in found], "next": following})

    @app.get(ONE, summary="One backbone, as it is declared and as it was found", responses=described.answers("It", views.BACKBONE))
    async def read_backbone(id: str, caller: Caller) -> Response:
        return kept_answer(await handler.read_backbone(await resources.registry(), caller, id), caller)

    @app.get(
        ONE + "/events",
        summary="What happened to a backbone, newest first",
        responses=described.answers("Events", described.items_of(views.EVENT)),
    )
    async def list_events(id: str, caller: Caller, limit: int = LIMIT, cursor: str | None = CURSOR) -> Response:
        found, following = await handler.list_events(await resources.registry(), caller, id, limit, _number(cursor))
        return json_answer({"items": [views.event_view(event) for event in found], "next": None if following is None else str(following)})


def _add_writes(app: FastAPI, resources: Resources, chart: Chart) -> None:
    @app.post(
        BACKBONES,
        status_code=202,
        summary="Declare a backbone: `org` null makes it shared, for system admins",
        responses=described.answers("The backbone under its new id; Location says where it is", views.BACKBONE, 202),
        openapi_extra=described.headers("switchboard-reason") | BODY,
    )
    async def add_backbone(request: Request, caller: Caller) -> Response:
        value, reason = parse(await body_of(request, resources)), reason_of(request)
        make_keys = (await resources.trusts()).make
        written = await handler.add_backbone(await resources.registry(), chart, caller, value, reason, make_keys)
        return written_answer(written, caller, BACKBONES)

    @app.put(
        ONE,
        status_code=202,
        summary="Change a backbone's spec, endpoint, domain or metadata; org, cluster, name and scope stay",
        responses=described.answers("The backbone as it is to be; 200 where nothing changed", views.BACKBONE, 200, 202),
        openapi_extra=described.headers("if-match", "switchboard-reason") | BODY,
    )
    async def update_backbone(id: str, request: Request, caller: Caller) -> Response:
        value, guard, reason = parse(await body_of(request, resources)), guard_of(request), reason_of(request)
        written = await handler.update_backbone(await resources.registry(), chart, caller, id, value, guard, reason)
        return written_answer(written, caller, BACKBONES)

    @app.delete(
        ONE,
        status_code=202,
        summary="Take a backbone down: nothing new goes there, what was installed is taken away, then it is forgotten",
        responses={
            **described.answers("It is going", views.BACKBONE, 202),
            204: {"description": "It is gone: nothing had been installed for it."},
        },
        openapi_extra=described.headers("if-match", "switchboard-reason"),
    )
    async def remove_backbone(id: str, request: Request, caller: Caller, abandon: bool = ABANDON) -> Response:
        guard, reason = guard_of(request), reason_of(request)
        remove = handler.abandon_backbone if abandon else handler.remove_backbone
        written = await remove(await resources.registry(), caller, id, guard, reason)
        return written_answer(written, caller, BACKBONES)


def _number(cursor: str | None) -> int | None:
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise Malformed("cursor: not one that was given", faults=[Fault("cursor", "not one that was given")])
    return None if cursor is None else int(cursor)
