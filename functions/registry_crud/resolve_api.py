"""`/v1/resolve`: where a message would go, and how to listen to it there."""

import time
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Response

from functions.registry_crud.resolving import sender_of, way_of
from functions.registry_crud.views import MAYBE, TEXT
from shared.domain.principal import Principal
from shared.edge import described
from shared.edge.rest import caller
from shared.edge.writing import json_answer
from shared.resources import Resources

Caller = Annotated[Principal, Depends(caller)]
PLACED = {"backbone": TEXT, "cluster": TEXT, "scope": TEXT, "endpoint": MAYBE, "stream": TEXT, "filter": TEXT, "command": MAYBE}
PLACE = described.object_of(**PLACED, leaves={"type": "array", "items": described.object_of(**PLACED)})
WAY = described.object_of(
    topic=TEXT,
    subject=MAYBE,
    config_revision={"type": "integer"},
    to={"type": "array", "items": TEXT},
    routed_by=TEXT,
    undeliverable=MAYBE,
    backbones={"type": "array", "items": PLACE},
)


def add(app: FastAPI, resources: Resources) -> None:
    """Add the route to the app."""

    @app.get(
        "/v1/resolve",
        summary="Where a message of the org would go and why, and how to subscribe to it there",
        responses=described.answers("The way; a message without data is what conditions are asked of", WAY),
    )
    async def resolve(
        caller: Caller,
        topic: str = Query(min_length=1, max_length=1024),
        subject: str | None = Query(None, min_length=1, max_length=1024, description="Without: messages to nobody in particular."),
        org: str | None = described.ORG,
    ) -> Response:
        snapshot, home_url = resources.snapshots.current, resources.settings.nats_url
        way = way_of(snapshot, sender_of(caller, org), topic, subject, time.time_ns() // 1000, home_url)
        backbones = [target.place._asdict() | {"leaves": [leaf._asdict() for leaf in target.leaves]} for target in way.backbones]
        said = way._asdict() | {"backbones": backbones}
        return json_answer({"topic": topic, "subject": subject, **said})
