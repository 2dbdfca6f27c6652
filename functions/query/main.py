"""query as a deployable: its REST app inside functions-framework's, on the real store. `python -m functions.query.main`."""

import sys

from starlette.requests import Request
from starlette.responses import Response

from functions.query.api import api
from shared.domain.errors import NotFound
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.edge.framework import Beside, framework_app
from shared.edge.rest import problem_response
from shared.edge.server import run
from shared.resources import Resources


async def query(request: Request) -> Response:
    """The framework's function: takes what isn't REST, and this function answers nothing else."""
    return problem_response(NotFound(f"nothing is at {request.url.path}"))


def build(resources: Resources) -> ASGIApp:
    """The function's ASGI app on a process's resources."""
    return framework_app("query", __name__, beside=Beside(["/v1/messages"], api(resources)))


app = Edge("query", build)

if __name__ == "__main__":
    sys.exit(run(app))
