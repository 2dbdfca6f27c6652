"""The REST face of config: `/v1/config/principals` and their keys (contracts.md, "Config")."""

from typing import Annotated

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from starlette.status import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT

from functions.config_crud import handler
from functions.config_crud.bodies import MAX_BODY, PrincipalBody, check_key_id, check_name, parse, schema
from shared.domain.errors import Fault, Malformed
from shared.domain.principal import Principal
from shared.edge.body import Deadlines, Gone, read_body
from shared.edge.rest import caller, rest_app
from shared.resources import Resources

PRINCIPALS = "/v1/config/principals"
REASON = "switchboard-reason"
MAX_REASON = 500  # characters

Caller = Annotated[Principal, Depends(caller)]
Org = str | None

_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema()}}}}


def api(resources: Resources) -> FastAPI:
    """The app; `resources` gives it the config store, and who is asking."""
    app = rest_app("config", resources.snapshots, resources.cookies)
    _add_principals(app, resources)
    _add_keys(app, resources)
    return app


def _add_principals(app: FastAPI, resources: Resources) -> None:
    deadlines = Deadlines()

    @app.get(PRINCIPALS, summary="The principals of the org")
    async def list_principals(caller: Caller, org: Org = None) -> Response:
        found = await handler.list_principals(await resources.config(), caller, org)
        return _json({"items": [_view(principal) for principal in found], "next": None})

    @app.get(PRINCIPALS + "/{name}", summary="One principal with its grants")
    async def read_principal(name: str, caller: Caller, org: Org = None) -> Response:
        return _json(_view(await handler.read_principal(await resources.config(), caller, org, check_name(name))))

    @app.put(PRINCIPALS + "/{name}", summary="Create or replace a principal", openapi_extra=_BODY)
    async def put_principal(name: str, request: Request, caller: Caller, org: Org = None) -> Response:
        check_name(name)
        try:
            body = parse(PrincipalBody, await read_body(request.receive, MAX_BODY, resources.flight, deadlines))
        except Gone as error:
            raise Malformed("the body is not whole") from error
        wanted = Principal(name, caller.org if org is None else org, tuple(grant.grant() for grant in body.grants))
        create = _creates(request)
        written = await handler.put_principal(await resources.config(), caller, wanted, _reason(request), create=create)
        status = HTTP_201_CREATED if written.created else HTTP_200_OK
        return _json({**_view(written.principal), "config_revision": written.revision}, status)

    @app.delete(PRINCIPALS + "/{name}", status_code=HTTP_204_NO_CONTENT, summary="Remove a principal and its keys")
    async def delete_principal(name: str, request: Request, caller: Caller, org: Org = None) -> Response:
        await handler.delete_principal(await resources.config(), caller, org, check_name(name), _reason(request))
        return Response(status_code=HTTP_204_NO_CONTENT)


def _add_keys(app: FastAPI, resources: Resources) -> None:
    keys = PRINCIPALS + "/{name}/keys"

    @app.post(keys, status_code=HTTP_201_CREATED, summary="Make an API key: the answer shows it, and nothing ever again")
    async def create_key(name: str, caller: Caller, org: Org = None) -> Response:
        return _json(
            msgspec.structs.asdict(await handler.create_key(await resources.config(), caller, org, check_name(name))), HTTP_201_CREATED
        )

    @app.get(keys, summary="The ids of a principal's keys")
    async def list_keys(name: str, caller: Caller, org: Org = None) -> Response:
        return _json({"items": await handler.list_keys(await resources.config(), caller, org, check_name(name)), "next": None})

    @app.delete(keys + "/{key_id}", status_code=HTTP_204_NO_CONTENT, summary="Revoke a key")
    async def delete_key(name: str, key_id: str, caller: Caller, org: Org = None) -> Response:
        await handler.delete_key(await resources.config(), caller, org, check_name(name), check_key_id(key_id))
        return Response(status_code=HTTP_204_NO_CONTENT)


def _view(principal: Principal) -> dict[str, object]:
    return {"name": principal.name, "org": principal.org, "system": principal.system, "grants": principal.grants}


def _json(document: dict[str, object], status: int = HTTP_200_OK) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json", headers={"cache-control": "no-store"})


def _creates(request: Request) -> bool:
    """Whether `If-None-Match: *` says that nothing may be replaced (RFC 9110, 13.1.2)."""
    condition = request.headers.get("if-none-match")
    if condition not in (None, "*"):
        raise Malformed("If-None-Match takes * here", faults=[Fault("if-none-match", "not *")])
    return condition == "*"


def _reason(request: Request) -> str:
    """Why something is changed, as the caller says it: kept with the revision."""
    reason = request.headers.get(REASON, "")
    if len(reason) > MAX_REASON:
        raise Malformed(f"{REASON} is over {MAX_REASON} characters")
    return reason
