"""`/v1/config/sessions/ended`: a sign-out at an edge, told to the hub, so that every process of the install refuses the session."""

import time

from fastapi import FastAPI, Request, Response

from shared.domain.sessions import read_session
from shared.edge import described
from shared.edge.proven import DESCRIBED, Proven
from shared.resources import Resources

BODY = described.body({"type": "string", "format": "binary"}, "application/vnd.msgpack")


def add(app: FastAPI, resources: Resources, proven: Proven) -> None:
    """Add the route to the app."""

    @app.post(
        "/v1/config/sessions/ended",
        summary="Internal: a browser's session (MessagePack of `[key, expires, id]`) was signed out",
        openapi_extra={"security": [], "parameters": [DESCRIBED], **BODY},
    )
    async def end_session(request: Request) -> Response:
        session = read_session(await proven.body(request), time.time())
        await (await resources.config()).end_session(session)
        return Response()
