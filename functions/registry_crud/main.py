"""registry-crud as a deployable: its REST app inside functions-framework's, on the real store. `python -m functions.registry_crud.main`."""

import sys

import functions_framework.aio
from fastapi import FastAPI
from starlette.requests import Request

from functions.registry_crud.api import api
from shared.backbone_chart import backbone_chart
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.edge.framework import Beside, framework_app
from shared.edge.server import run
from shared.edge.stock import served
from shared.resources import Resources

PATHS = ["/v1/clusters", "/v1/backbones", "/v1/resolve", "/v1/registry"]


def rest(resources: Resources) -> FastAPI:
    """The REST app on a process's resources."""
    return api(resources, backbone_chart())


@functions_framework.aio.http  # type: ignore[arg-type]  # an ASGI app is as good as a Response
async def registry_crud(request: Request) -> ASGIApp:
    """The framework's function: the REST app, for commands (events), and for the stock runner, which knows no other way to it."""
    return await served(request.app, rest)


def build(resources: Resources) -> ASGIApp:
    """The function's ASGI app on a process's resources."""
    served_app = rest(resources)
    app = framework_app("registry_crud", __name__, beside=Beside(PATHS, served_app))
    app.state.served = served_app
    return app


app = Edge("registry_crud", build)

if __name__ == "__main__":
    sys.exit(run(app))
