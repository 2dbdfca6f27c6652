"""`/v1/backbones/{id}/credentials`: what an agent signs in to a backbone with (contracts.md, "On the backbone")."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from starlette.status import HTTP_201_CREATED, HTTP_204_NO_CONTENT

from functions.registry_crud import credentials
from functions.registry_crud.credentials import Given, Stores
from functions.registry_crud.views import MAYBE, TEXT
from shared.domain.json_text import parse
from shared.domain.principal import Principal
from shared.domain.registry.agents import Credential
from shared.edge import described
from shared.edge.rest import caller
from shared.edge.writing import body_of, json_answer, reason_of
from shared.resources import Resources
from shared.view import time_text

ALL = "/v1/backbones/{id}/credentials"
ONE = ALL + "/{credential}"
Caller = Annotated[Principal, Depends(caller)]
Org = str | None
TEXTS = {"type": "array", "items": TEXT}
TIME = {"type": "string", "format": "date-time"}
SHOWN = described.object_of(
    id=TEXT, backbone=TEXT, org=TEXT, principal=TEXT, consumers=TEXTS, created=TIME, expires=TIME, author=TEXT, revoked=MAYBE, why=TEXT
)
ONCE = {
    **SHOWN,
    "properties": {
        **SHOWN["properties"],
        **dict.fromkeys(("jwt", "seed", "credentials", "inbox_prefix"), TEXT),
        **dict.fromkeys(("streams", "filters"), TEXTS),
        "endpoint": MAYBE,
    },
}
BODY = described.body({"type": "object", "properties": {"principal": TEXT}, "required": ["principal"], "additionalProperties": False})


def add(app: FastAPI, resources: Resources) -> None:
    """Add the routes to the app."""

    @app.post(
        ALL,
        status_code=HTTP_201_CREATED,
        summary="Give a principal's agent what it signs in with: the answer shows token and seed, and nothing ever again",
        responses=described.answers("The credentials, good for 30 days", ONCE, 201),
        openapi_extra=described.headers("switchboard-reason") | BODY,
    )
    async def give_credentials(id: str, request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        value, reason = parse(await body_of(request, resources)), reason_of(request)
        given = await credentials.give(await _stores(resources), caller, org, id, value, reason)
        return json_answer(_once(given), HTTP_201_CREATED)

    @app.get(
        ALL,
        summary="The org's credentials on a backbone that have not expired, the revoked ones among them",
        responses=described.answers("Oldest first", described.items_of(SHOWN)),
    )
    async def list_credentials(id: str, caller: Caller, org: Org = described.ORG) -> Response:
        found = await credentials.listed(await _stores(resources), caller, org, id)
        return json_answer({"items": [_shown(one) for one in found], "next": None})

    @app.delete(
        ONE,
        status_code=HTTP_204_NO_CONTENT,
        summary="Revoke credentials: whoever is connected with them is disconnected",
        openapi_extra=described.headers("switchboard-reason"),
    )
    async def revoke_credentials(id: str, credential: str, request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        await credentials.revoke(await _stores(resources), caller, org, id, credential, reason_of(request))
        return Response(status_code=HTTP_204_NO_CONTENT)


async def _stores(resources: Resources) -> Stores:
    return Stores(await resources.registry(), await resources.config(), await resources.credentials(), await resources.trusts())


def _shown(one: Credential) -> dict[str, object]:
    """`{id, backbone, org, principal, consumers, created, expires, author, revoked, why}`."""
    shown: dict[str, object] = {name: getattr(one, name) for name in ("id", "backbone", "org", "principal", "consumers", "author", "why")}
    times = {name: time_text(getattr(one, name) * 1_000_000) for name in ("created", "expires")}
    return shown | times | {"revoked": None if one.revoked is None else time_text(one.revoked * 1_000_000)}


def _once(given: Given) -> dict[str, object]:
    """The same with what is secret about it; `credentials` is both as a file, as clients take it."""
    secret = {"jwt": given.login.token, "seed": given.login.seed, "credentials": given.login.file(*_remarks(given))}
    where = {"endpoint": given.endpoint, "inbox_prefix": given.inbox, "streams": given.streams, "filters": given.filters}
    return _shown(given.credential) | secret | where


def _remarks(given: Given) -> list[str]:
    said = [] if given.endpoint is None else [f"server: {given.endpoint}"]
    return [*said, f"inbox prefix: {given.inbox}"]
