"""query as a deployable: its REST app inside functions-framework's, on the real store. `python -m functions.query.main`."""

import sys

import functions_framework.aio
from starlette.requests import Request

from functions.query.api import api
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.edge.framework import Beside, framework_app
from shared.edge.server import run
from shared.edge.stock import served
from shared.resources import Resources


@functions_framework.aio.http  # type: ignore[arg-type]  # an ASGI app is as good as a Response
async def query(request: Request) -> ASGIApp:
    """The framework's function: the REST app, for the stock runner, which knows no other path to it; here it says 404 to the rest."""
    return await served(request.app, api)


def build(resources: Resources) -> ASGIApp:
    """The function's ASGI app on a process's resources."""
    rest = api(resources)
    app = framework_app("query", __name__, beside=Beside(["/v1/messages"], rest))
    app.state.served = rest
    return app


app = Edge("query", build)

if __name__ == "__main__":
    sys.exit(run(app))
