"""The REST face of config: `/v1/config` (contracts.md, "Config"). What is below which path is in a module of its own each."""

from fastapi import FastAPI

from functions.config_crud import (
    backtest_api,
    commands_api,
    documents_api,
    effective_api,
    history_api,
    issuers_api,
    orgs_api,
    principals_api,
    sessions_api,
    snapshot_api,
)
from functions.config_crud.documents import Admit
from shared.domain.config.document import Document
from shared.domain.revisions import Stale
from shared.edge import described
from shared.edge.proven import Proven
from shared.edge.rest import rest_app
from shared.edge.writing import stale_answer
from shared.resources import Resources


def api(resources: Resources, admit: Admit) -> FastAPI:
    """The app; `resources` gives it the config store and who is asking, `admit` says which documents may be published."""
    app = rest_app("config", resources.snapshots, resources.cookies, resources.tokens, declared=True)
    app.add_exception_handler(Stale, stale_answer)
    documents_api.add(app, resources, admit)
    history_api.add(app, resources, admit)
    effective_api.add(app, resources, admit)
    backtest_api.add(app, resources, admit)
    proven = Proven(resources)
    snapshot_api.add(app, resources, proven)
    sessions_api.add(app, resources, proven)
    orgs_api.add(app, resources)
    principals_api.add(app, resources)
    issuers_api.add(app, resources)
    commands_api.add(app, resources, admit)
    described.components(app, [Document])
    return app
