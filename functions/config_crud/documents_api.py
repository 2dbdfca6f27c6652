"""`/v1/config/global`, `/org`, `/topics/{pattern}`, `/subjects/{pattern}`: documents. An unchanged write makes no revision."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from starlette.status import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT, HTTP_304_NOT_MODIFIED

from functions.config_crud import documents, shapes
from functions.config_crud.answers import document_answer
from functions.config_crud.documents import Admit, Target, path_of
from shared.domain.errors import Malformed
from shared.domain.json_text import parse
from shared.domain.principal import Principal
from shared.edge import described
from shared.edge.rest import caller
from shared.edge.writing import body_of, guard_of, json_answer, not_modified, reason_of
from shared.resources import Resources

Caller = Annotated[Principal, Depends(caller)]
Org = str | None
WRITE_HEADERS = ("if-match", "if-none-match", "switchboard-reason")
LAYERS = ("global", "org", "topics", "subjects")
WHAT = {
    "global": "the document of all orgs: for system admins",
    "org": "the org's own document",
    "topics": "the document of a topic pattern",
    "subjects": "the document of a subject pattern",
}


def add(app: FastAPI, resources: Resources, admit: Admit) -> None:
    """Add the routes to the app."""

    @app.get(
        "/v1/config/documents",
        summary="All documents of the org, with their entity tags",
        responses=described.answers(
            "The documents by path", described.items_of(described.object_of(path={"type": "string"}, etag={"type": "string"}))
        ),
    )
    async def list_documents(caller: Caller, org: Org = described.ORG) -> Response:
        found = await documents.list_documents(await resources.config(), caller, org)
        items = [{"path": path, "etag": f'"{one.revision}"', "document": msgspec.Raw(one.text)} for path, one in found.items()]
        return json_answer({"items": items, "next": None})

    handlers = _handlers(resources, admit)
    for layer in LAYERS:
        path = f"/v1/config/{layer}" + ("/{pattern:path}" if layer in ("topics", "subjects") else "")
        for method, (handler, summary, more) in handlers.items():
            app.add_api_route(
                path,
                handler if "{" in path else _without_pattern(handler, layer),
                methods=[method],
                summary=f"{summary} {WHAT[layer]}",
                operation_id=f"{method.lower()}_{layer}",
                name=f"{method.lower()}_{layer}",
                **more,
            )


def _handlers(resources: Resources, admit: Admit) -> dict[str, tuple[Callable[..., Any], str, dict[str, Any]]]:
    """For each method: the handler, its summary, and what else the route is told."""

    async def read(request: Request, caller: Caller, pattern: str, org: Org = described.ORG) -> Response:
        found = await documents.read_document(await resources.config(), caller, org, path_of(_named(request)))
        if not_modified(request, found.revision):
            return Response(status_code=HTTP_304_NOT_MODIFIED, headers={"etag": f'"{found.revision}"'})
        return document_answer(found)

    async def put(request: Request, caller: Caller, pattern: str, org: Org = described.ORG) -> Response:
        target = _target(request, org)
        value = parse(await body_of(request, resources))
        return _written(await documents.put_document(await resources.config(), admit, caller, target, value))

    async def patch(request: Request, caller: Caller, pattern: str, org: Org = described.ORG) -> Response:
        target = _target(request, org)
        if "json-patch" in request.headers.get("content-type", ""):
            raise Malformed("PATCH takes a merge patch (RFC 7396): application/merge-patch+json", status=415)
        value = parse(await body_of(request, resources))
        return _written(await documents.patch_document(await resources.config(), admit, caller, target, value))

    async def delete(request: Request, caller: Caller, pattern: str, org: Org = described.ORG) -> Response:
        await documents.delete_document(await resources.config(), caller, _target(request, org))
        return Response(status_code=HTTP_204_NO_CONTENT)

    stored = described.answers("The document as it is stored; its entity tag is the revision that last changed it", shapes.document())
    written = described.answers("The document as it is now; with the old entity tag where nothing changed", shapes.document(), 200, 201)
    refused: dict[int | str, dict[str, Any]] = {
        412: {"description": "A precondition failed: ETag says what would have matched."},
        422: {"description": "The document doesn't hold: `errors` has a pointer to every fault."},
    }
    heeded = described.headers(*WRITE_HEADERS)
    merge = described.body({"type": "object"}, "application/merge-patch+json")
    return {
        "GET": (read, "Read", {"responses": stored}),
        "PUT": (put, "Create or replace", {"responses": written | refused, "openapi_extra": heeded | described.body(shapes.document())}),
        "PATCH": (patch, "Merge into (RFC 7396)", {"responses": written | refused, "openapi_extra": heeded | merge}),
        "DELETE": (
            delete,
            "Remove",
            {
                "status_code": HTTP_204_NO_CONTENT,
                "responses": refused,
                "openapi_extra": described.headers("if-match", "switchboard-reason"),
            },
        ),
    }


def _without_pattern(handler: Callable[..., Any], layer: str) -> Callable[..., Any]:
    """The handler for a path that has no pattern in it."""

    async def without(request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        answer: Response = await handler(request, caller, "", org)
        return answer

    return without


def _named(request: Request) -> str:
    """The document's path: what is behind `/v1/config/`, decoded."""
    path: str = request.scope["path"]
    return path.removeprefix("/v1/config/")


def _target(request: Request, org: Org) -> Target:
    return Target(org, path_of(_named(request)), guard_of(request), reason_of(request))


def _written(written: documents.Written) -> Response:
    return document_answer(written.document, HTTP_201_CREATED if written.created else HTTP_200_OK)
