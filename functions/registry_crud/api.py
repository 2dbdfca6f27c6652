"""The REST face of the registry: `/v1/clusters`, `/v1/backbones`, `/v1/resolve`, `/v1/registry/snapshot` (contracts.md, "Registry")."""

from fastapi import FastAPI

from functions.registry_crud import backbones_api, clusters_api, commands_api, credentials_api, resolve_api, snapshot_api, views
from shared.domain.registry.spec import Chart
from shared.domain.revisions import Stale
from shared.edge import described
from shared.edge.rest import rest_app
from shared.edge.writing import stale_answer
from shared.resources import Resources


def api(resources: Resources, chart: Chart) -> FastAPI:
    """The app; `resources` gives it the registry and who is asking, `chart` says which specs can be installed."""
    app = rest_app("registry", resources.snapshots, resources.cookies, resources.tokens, declared=True)
    app.add_exception_handler(Stale, stale_answer)
    clusters_api.add(app, resources)
    backbones_api.add(app, resources, chart)
    credentials_api.add(app, resources)
    resolve_api.add(app, resources)
    snapshot_api.add(app, resources)
    commands_api.add(app, resources, chart)
    described.components(app, views.COMPONENTS)
    return app
