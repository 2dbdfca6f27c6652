"""`/v1/clusters`: the clusters that backbones are in."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from starlette.status import HTTP_204_NO_CONTENT

from functions.registry_crud import clusters, views
from functions.registry_crud.answers import kept_answer, written_answer
from functions.registry_crud.pages import CURSOR, LIMIT, page_of
from shared.domain.json_text import parse
from shared.domain.principal import Principal
from shared.domain.registry.reading import ClusterBody
from shared.edge import described
from shared.edge.rest import caller
from shared.edge.writing import body_of, guard_of, json_answer, reason_of
from shared.resources import Resources

CLUSTERS = "/v1/clusters"
ONE = CLUSTERS + "/{name}"
Caller = Annotated[Principal, Depends(caller)]
Org = str | None
BODY = described.body(views.reference(ClusterBody))


def add(app: FastAPI, resources: Resources) -> None:
    """Add the routes to the app."""
    _add_reads(app, resources)
    _add_writes(app, resources)


def _add_reads(app: FastAPI, resources: Resources) -> None:
    @app.get(
        CLUSTERS,
        summary="The org's clusters and the shared ones",
        responses=described.answers("By name", described.items_of(views.CLUSTER)),
    )
    async def list_clusters(caller: Caller, org: Org = described.ORG, limit: int = LIMIT, cursor: str | None = CURSOR) -> Response:
        found, following = page_of(await clusters.list_clusters(await resources.registry(), caller, org), limit, cursor)
        return json_answer({"items": [views.view(kept, caller) for kept in found], "next": following})

    @app.get(ONE, summary="One cluster", responses=described.answers("The cluster", views.CLUSTER))
    async def read_cluster(name: str, caller: Caller, org: Org = described.ORG) -> Response:
        return kept_answer(await clusters.read_cluster(await resources.registry(), caller, org, name), caller)


def _add_writes(app: FastAPI, resources: Resources) -> None:
    @app.post(
        CLUSTERS,
        status_code=202,
        summary="Declare a cluster: `org` null makes it shared, for system admins",
        responses=described.answers("The cluster; Location says where it is", views.CLUSTER, 202),
        openapi_extra=described.headers("switchboard-reason") | BODY,
    )
    async def add_cluster(request: Request, caller: Caller) -> Response:
        value, reason = parse(await body_of(request, resources)), reason_of(request)
        return written_answer(await clusters.add_cluster(await resources.registry(), caller, value, reason), caller, CLUSTERS)

    @app.put(
        ONE,
        status_code=202,
        summary="Declare or replace a cluster; its provider stays",
        responses=described.answers("The cluster; 200 where nothing changed", views.CLUSTER, 200, 202),
        openapi_extra=described.headers("if-match", "if-none-match", "switchboard-reason") | BODY,
    )
    async def put_cluster(name: str, request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        value, guard, reason = parse(await body_of(request, resources)), guard_of(request), reason_of(request)
        written = await clusters.put_cluster(await resources.registry(), caller, org, name, value, guard, reason)
        return written_answer(written, caller, CLUSTERS)

    @app.delete(
        ONE,
        status_code=HTTP_204_NO_CONTENT,
        summary="Forget a cluster that has no backbones",
        openapi_extra=described.headers("if-match", "switchboard-reason"),
    )
    async def remove_cluster(name: str, request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        guard, reason = guard_of(request), reason_of(request)
        written = await clusters.remove_cluster(await resources.registry(), caller, org, name, guard, reason)
        return written_answer(written, caller, CLUSTERS)
