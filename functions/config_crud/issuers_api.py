"""`/v1/config/issuers`: whose tokens are taken, and what they may do; for system admins."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from starlette.status import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT

from functions.config_crud import issuers
from functions.config_crud.bodies import check_issuer_name, parse
from functions.config_crud.issuer_body import IssuerBody, schema, view
from shared.domain.principal import Principal
from shared.edge import described
from shared.edge.rest import caller
from shared.edge.writing import body_of, guard_of, json_answer, reason_of
from shared.resources import Resources

ISSUERS = "/v1/config/issuers"
ONE = ISSUERS + "/{name}"
Caller = Annotated[Principal, Depends(caller)]

BODY = schema()
SHOWN = {**BODY, "required": ["name", *BODY["required"]], "properties": {"name": {"type": "string"}, **BODY["properties"]}}
PUT = {**SHOWN, "properties": {**SHOWN["properties"], "config_revision": {"type": "integer"}}}


def add(app: FastAPI, resources: Resources) -> None:
    """Add the routes to the app."""

    @app.get(ISSUERS, summary="The issuers of tokens", responses=described.answers("By name", described.items_of(SHOWN)))
    async def list_issuers(caller: Caller) -> Response:
        found = await issuers.list_issuers(await resources.config(), caller)
        return json_answer({"items": [view(issuer) for issuer in found], "next": None})

    @app.get(ONE, summary="One issuer", responses=described.answers("The issuer", SHOWN))
    async def read_issuer(name: str, caller: Caller) -> Response:
        issuer, revision = await issuers.read_issuer(await resources.config(), caller, check_issuer_name(name))
        return json_answer(view(issuer), revision=revision)

    @app.put(
        ONE,
        summary="Take the tokens of an issuer, or take them otherwise from now on",
        responses=described.answers("The issuer as it is now", PUT, 200, 201),
        openapi_extra=described.headers("if-match", "if-none-match", "switchboard-reason") | described.body(BODY),
    )
    async def put_issuer(name: str, request: Request, caller: Caller) -> Response:
        check_issuer_name(name)
        wanted = parse(IssuerBody, await body_of(request, resources)).made(name)
        written = await issuers.put_issuer(await resources.config(), caller, wanted, reason_of(request), guard_of(request))
        status = HTTP_201_CREATED if written.created else HTTP_200_OK
        return json_answer({**view(wanted), "config_revision": written.revision}, status, written.revision)

    @app.delete(
        ONE,
        status_code=HTTP_204_NO_CONTENT,
        summary="Take an issuer's tokens no more, within a second",
        openapi_extra=described.headers("if-match", "switchboard-reason"),
    )
    async def delete_issuer(name: str, request: Request, caller: Caller) -> Response:
        store, reason = await resources.config(), reason_of(request)
        await issuers.delete_issuer(store, caller, check_issuer_name(name), reason, guard_of(request))
        return Response(status_code=HTTP_204_NO_CONTENT)
