"""log_batch as a deployable, for loggers that are wired to it by SWITCHBOARD_LOG_BATCH_URL. `uvicorn functions.log_batch.main:app`."""

from starlette.requests import Request
from starlette.responses import Response

from functions.log_batch.batch import EVENT_TYPE, MAX_BYTES, PROOF, SHARD, check_proof, unpack_batch
from functions.log_batch.handler import handle
from shared.domain.errors import Malformed, SwitchboardError, TooLarge
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.edge.framework import framework_app
from shared.edge.rest import problem_response
from shared.resources import Resources


async def log_batch(request: Request) -> Response:
    """The framework's function: 204 once the batch is committed."""
    try:
        await _commit(request, request.app.state.resources)
    except SwitchboardError as error:
        return problem_response(error)
    return Response(status_code=204)


async def _commit(request: Request, resources: Resources) -> None:
    if request.headers.get("ce-type") != EVENT_TYPE:
        raise Malformed(f"only events of type {EVENT_TYPE} are taken here")
    shard = request.headers.get(SHARD, "")
    if not shard.isascii() or not shard.isdecimal() or len(shard) > 4:
        raise Malformed("extension sbshard must be the shard's number")
    body = await _body(request)
    check_proof(resources.settings.secret_keys(), int(shard), body, request.headers.get(PROOF, ""))
    await handle(int(shard), unpack_batch(body), await resources.store())


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BYTES:
            raise TooLarge(f"a batch has at most {MAX_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def build(resources: Resources) -> ASGIApp:
    """The function's ASGI app on a process's resources."""
    app = framework_app("log_batch", __name__)
    app.state.resources = resources
    return app


app = Edge("log_batch", build)
