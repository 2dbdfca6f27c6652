"""`/v1/config/principals`: who may do what, and their API keys."""

from typing import Annotated

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from starlette.status import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT

from functions.config_crud import handler
from functions.config_crud.bodies import PrincipalBody, check_key_id, check_name, parse, schema
from shared.domain.principal import Principal
from shared.edge import described
from shared.edge.rest import caller
from shared.edge.writing import body_of, guard_of, json_answer, reason_of
from shared.resources import Resources

PRINCIPALS = "/v1/config/principals"
ONE = PRINCIPALS + "/{name}"
KEYS = ONE + "/keys"

Caller = Annotated[Principal, Depends(caller)]
Org = str | None

TEXT = {"type": "string"}
PRINCIPAL = described.object_of(name=TEXT, org=TEXT, system={"type": "boolean"}, grants=schema()["properties"]["grants"])
PUT = {**PRINCIPAL, "properties": {**PRINCIPAL["properties"], "config_revision": {"type": "integer"}}}
KEY = described.object_of(id=TEXT, principal=TEXT, created={"type": "string", "format": "date-time"})
HEEDED = described.headers("if-match", "if-none-match", "switchboard-reason")


def add(app: FastAPI, resources: Resources) -> None:
    """Add the routes to the app."""
    _add_principals(app, resources)
    _add_keys(app, resources)


def _add_principals(app: FastAPI, resources: Resources) -> None:
    @app.get(PRINCIPALS, summary="The principals of the org", responses=described.answers("By name", described.items_of(PRINCIPAL)))
    async def list_principals(caller: Caller, org: Org = described.ORG) -> Response:
        found = await handler.list_principals(await resources.config(), caller, org)
        return json_answer({"items": [_view(principal) for principal in found], "next": None})

    @app.get(ONE, summary="One principal with its grants", responses=described.answers("The principal", PRINCIPAL))
    async def read_principal(name: str, caller: Caller, org: Org = described.ORG) -> Response:
        principal, revision = await handler.read_principal(await resources.config(), caller, org, check_name(name))
        return json_answer(_view(principal), revision=revision)

    @app.put(
        ONE,
        summary="Create or replace a principal; an org's first one makes the org",
        responses=described.answers("The principal as it is now", PUT, 200, 201),
        openapi_extra=HEEDED | described.body(schema()),
    )
    async def put_principal(name: str, request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        check_name(name)
        body = parse(PrincipalBody, await body_of(request, resources))
        wanted = Principal(name, caller.org if org is None else org, tuple(grant.grant() for grant in body.grants))
        guard, reason = guard_of(request), reason_of(request)
        written = await handler.put_principal(await resources.config(), caller, wanted, reason, guard)
        status = HTTP_201_CREATED if written.created else HTTP_200_OK
        return json_answer({**_view(written.principal), "config_revision": written.revision}, status, written.revision)

    @app.delete(
        ONE,
        status_code=HTTP_204_NO_CONTENT,
        summary="Remove a principal and its keys",
        openapi_extra=described.headers("if-match", "switchboard-reason"),
    )
    async def delete_principal(name: str, request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        guard, reason = guard_of(request), reason_of(request)
        await handler.delete_principal(await resources.config(), caller, org, check_name(name), reason, guard)
        return Response(status_code=HTTP_204_NO_CONTENT)


def _add_keys(app: FastAPI, resources: Resources) -> None:
    shown = described.object_of(id=TEXT, key=TEXT, principal=TEXT)

    @app.post(
        KEYS,
        status_code=HTTP_201_CREATED,
        summary="Make an API key: the answer shows it, and nothing ever again",
        responses=described.answers("The key", shown, 201),
        openapi_extra=described.headers("switchboard-reason"),
    )
    async def create_key(name: str, request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        made = await handler.create_key(await resources.config(), caller, org, check_name(name), reason_of(request))
        return json_answer(msgspec.structs.asdict(made), HTTP_201_CREATED)

    @app.get(KEYS, summary="The ids of a principal's keys", responses=described.answers("Oldest first", described.items_of(KEY)))
    async def list_keys(name: str, caller: Caller, org: Org = described.ORG) -> Response:
        return json_answer({"items": await handler.list_keys(await resources.config(), caller, org, check_name(name)), "next": None})

    @app.delete(
        KEYS + "/{key_id}",
        status_code=HTTP_204_NO_CONTENT,
        summary="Revoke a key",
        openapi_extra=described.headers("switchboard-reason"),
    )
    async def delete_key(name: str, key_id: str, request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        reason = reason_of(request)
        await handler.delete_key(await resources.config(), caller, org, check_name(name), check_key_id(key_id), reason)
        return Response(status_code=HTTP_204_NO_CONTENT)


def _view(principal: Principal) -> dict[str, object]:
    return {"name": principal.name, "org": principal.org, "system": principal.system, "grants": principal.grants}
