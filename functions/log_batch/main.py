"""log_batch as a deployable: batches of flushes in, rows out, for loggers with SWITCHBOARD_LOG_BATCH_URL.

`python -m functions.log_batch.main`; or `uvicorn functions.log_batch.main:app`; or the stock runner,
`functions-framework --target log_batch`.
"""

import sys

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.log_batch.handler import handle
from shared.domain.errors import Malformed, SwitchboardError
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp, Receive, Scope, Send
from shared.edge.body import Deadlines, Gone, read_body, too_large
from shared.edge.flight import Flight
from shared.edge.framework import framework_app
from shared.edge.problems import NotAllowed, answer_problem
from shared.edge.server import run
from shared.edge.stock import served
from shared.resources import Resources
from shared.stages.rows import EVENT_TYPE, MAX_BYTES, PROOF, SHARD, check_proof, unpack_batch

IN_FLIGHT_BYTES = 3 * MAX_BYTES  # of bodies; beyond it the answer is 429, and the logger comes again


class Rows:
    """The ASGI app: a batch under its proof in, 204 once it is committed."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._keys = resources.settings.secret_keys()
        self._flight, self._deadlines = Flight(max_bytes=IN_FLIGHT_BYTES), Deadlines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._commit(Request(scope), receive)
        except SwitchboardError as error:
            self._resources.counters.refuse(error.kind, error.rule)
            await answer_problem(send, error, [(b"allow", b"POST")] if isinstance(error, NotAllowed) else None)
        except Gone:
            pass
        else:
            await Response(status_code=204)(scope, receive, send)

    async def _commit(self, request: Request, receive: Receive) -> None:
        if request.method != "POST":
            raise NotAllowed("batches come by POST")
        if request.headers.get("ce-type") != EVENT_TYPE:
            raise Malformed(f"only events of type {EVENT_TYPE} are taken here")
        shard = request.headers.get(SHARD, "")
        if not shard.isascii() or not shard.isdecimal() or len(shard) > 4:
            raise Malformed("extension sbshard must be the shard's number")
        if int(request.headers.get("content-length", 0)) > MAX_BYTES:
            raise too_large(MAX_BYTES)
        body = await read_body(receive, MAX_BYTES, self._flight, self._deadlines)
        if self._flight.bytes + len(body) > self._flight.max_bytes:
            raise self._flight.overloaded()
        self._flight.bytes += len(body)
        try:
            check_proof(self._keys, int(shard), body, request.headers.get(PROOF, ""))
            await handle(int(shard), unpack_batch(body), await self._resources.store())
        finally:
            self._flight.bytes -= len(body)


@functions_framework.aio.http  # type: ignore[arg-type]  # an ASGI app is as good as a Response
async def log_batch(request: Request) -> ASGIApp:
    """The framework's function: the stage, which answers as ASGI."""
    return await served(request.app, Rows)


def build(resources: Resources) -> ASGIApp:
    """The function's ASGI app on a process's resources. Raises Misconfigured."""
    resources.settings.required("database_url")
    app = framework_app("log_batch", __name__)
    app.state.served = Rows(resources)
    return app


app = Edge("log_batch", build)

if __name__ == "__main__":
    sys.exit(run(app))
