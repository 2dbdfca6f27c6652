"""log_batch as a deployable: batches of flushes in, rows out, for loggers with SWITCHBOARD_LOG_BATCH_URL, and
the hub's side of its edges' loggers, relays and doors (SWITCHBOARD_HUB_URL).

`python -m functions.log_batch.main`; or `uvicorn functions.log_batch.main:app`; or the stock runner,
`functions-framework --target log_batch`.
"""

import sys

import functions_framework.aio
from starlette.requests import Request

from functions.log_batch.api import Rows
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.edge.framework import framework_app
from shared.edge.server import run
from shared.edge.stock import served
from shared.resources import Resources


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
