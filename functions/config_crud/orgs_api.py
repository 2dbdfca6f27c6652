"""`/v1/config/orgs`: orgs, for system admins."""

from typing import Annotated

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from starlette.status import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT

from functions.config_crud import orgs
from functions.config_crud.bodies import OrgBody, check_name, parse
from shared.domain.principal import Principal
from shared.domain.revisions import OrgState
from shared.edge import described
from shared.edge.rest import caller
from shared.edge.writing import body_of, json_answer, reason_of
from shared.resources import Resources

ORGS = "/v1/config/orgs"
ONE = ORGS + "/{org}"
Caller = Annotated[Principal, Depends(caller)]

TIME = {"type": ["string", "null"], "format": "date-time"}
STATE = described.object_of(org={"type": "string"}, created=TIME, deleted=TIME)
MADE = {
    **STATE,
    "properties": {
        **STATE["properties"],
        "admin": described.object_of(principal={"type": "string"}, id={"type": "string"}, key={"type": "string"}),
        "config_revision": {"type": "integer"},
    },
}


def add(app: FastAPI, resources: Resources) -> None:
    """Add the routes to the app."""

    @app.get(ORGS, summary="All orgs, the deleted ones too", responses=described.answers("The orgs by name", described.items_of(STATE)))
    async def list_orgs(caller: Caller) -> Response:
        return json_answer({"items": [_view(one) for one in await orgs.list_orgs(await resources.config(), caller)], "next": None})

    @app.get(ONE, summary="One org", responses=described.answers("The org", STATE))
    async def read_org(org: str, caller: Caller) -> Response:
        return json_answer(_view(await orgs.read_org(await resources.config(), caller, org)))

    @app.put(
        ONE,
        summary="Make an org with its first admin, whose key is shown this once; its streams come with its first message",
        responses=described.answers("The org; `admin` where it was made now", MADE, 200, 201),
        openapi_extra=described.headers("switchboard-reason") | described.body(OrgBody.model_json_schema(), required=False),
    )
    async def put_org(org: str, request: Request, caller: Caller) -> Response:
        body = parse(OrgBody, await body_of(request, resources) or b"{}")
        name = check_name(body.admin)
        store, reason = await resources.config(), reason_of(request)
        state, made = await orgs.put_org(store, caller, org, name, reason, restore=body.restore)
        if made is None:
            return json_answer(_view(state), HTTP_200_OK)
        admin = {"principal": name, "id": made.key_id, "key": made.key}
        return json_answer({**_view(state), "admin": admin, "config_revision": made.revision}, HTTP_201_CREATED)

    @app.delete(
        ONE,
        status_code=HTTP_204_NO_CONTENT,
        summary="Stop an org's doors: no principal, key or rule is left; messages, streams and history stay until its retention",
        openapi_extra=described.headers("switchboard-reason"),
    )
    async def delete_org(org: str, request: Request, caller: Caller) -> Response:
        await orgs.delete_org(await resources.config(), caller, org, reason_of(request))
        return Response(status_code=HTTP_204_NO_CONTENT)


def _view(state: OrgState) -> dict[str, object]:
    return msgspec.structs.asdict(state)
