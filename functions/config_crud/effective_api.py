"""`/v1/config/effective` and `/v1/config/check`: what holds, and what would."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request, Response

from functions.config_crud import effective, shapes
from functions.config_crud.bodies import CheckBody, parse
from functions.config_crud.documents import Admit
from functions.config_crud.effective import Asked, Proposal
from shared.checking import verdicts
from shared.domain import json_text
from shared.domain.errors import Fault, Malformed, Overloaded
from shared.domain.principal import Principal
from shared.edge import described
from shared.edge.rest import caller
from shared.edge.writing import body_of, json_answer
from shared.resources import Resources

Caller = Annotated[Principal, Depends(caller)]
Org = str | None
AT_ONCE = 2  # checks in a process: each has a child of its own
WAIT_S = 10.0  # for one of them to end
TEXT = {"type": "string"}
MAYBE = {"type": ["string", "null"]}
VERDICT = described.object_of(
    id=MAYBE, status={"enum": ["accepted", "blocked", "malformed"]}, rule=MAYBE, would_route_to={"type": "array", "items": TEXT}
)
EFFECTIVE = described.object_of(
    topic=TEXT,
    subject=MAYBE,
    config_revision={"type": "integer"},
    document=shapes.document(),
    origins={
        "type": "object",
        "additionalProperties": TEXT,
        "description": "JSON pointer of a value -> path of the document that gave it.",
    },
)


def add(app: FastAPI, resources: Resources, admit: Admit) -> None:
    """Add the routes to the app."""
    running = asyncio.Semaphore(AT_ONCE)

    @app.get(
        "/v1/config/effective",
        summary="What all documents say together of a topic and a subject, and which of them gave each value",
        responses=described.answers("The merged document", EFFECTIVE),
    )
    async def read_effective(
        caller: Caller,
        topic: str = Query(min_length=1, max_length=1024),
        subject: str | None = Query(None, max_length=1024, description="Without: messages to nobody in particular."),
        org: Org = described.ORG,
    ) -> Response:
        subject = subject or None  # no message has an empty one
        found = await effective.effective(await resources.config(), caller, org, topic, subject)
        said = {"topic": topic, "subject": subject, "config_revision": found.revision}
        return json_answer({**said, "document": found.document, "origins": found.origins})

    @app.post(
        "/v1/config/check",
        summary="Verdicts without effect, as if a document were at a path; rate limits aren't asked",
        responses=described.answers("One for each event, in order", described.object_of(verdicts={"type": "array", "items": VERDICT})),
        openapi_extra=described.body(CheckBody.model_json_schema()),
    )
    async def check(request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        text = await body_of(request, resources)
        value = json_text.parse(text)
        body = parse(CheckBody, text)
        proposed = isinstance(value, dict) and "document" in value
        if proposed != (body.path is not None):
            raise Malformed("path and document come together", faults=[Fault("/path" if proposed else "/document", "missing")])
        asked = Asked(value.get("events", []), body.principal, Proposal(body.path, value["document"]) if body.path is not None else None)
        now = time.time_ns() // 1000
        question = await effective.questioned(await resources.config(), admit, caller, org, asked, now)
        async with _turn(running):
            return json_answer({"verdicts": await verdicts(question)})


@asynccontextmanager
async def _turn(running: asyncio.Semaphore) -> AsyncIterator[None]:
    """One of the children that there may be. Raises Overloaded where none ends."""
    try:
        async with asyncio.timeout(WAIT_S):
            await running.acquire()
    except TimeoutError:
        raise Overloaded(f"{AT_ONCE} checks are running here", retry_after_ms=2_000) from None
    try:
        yield
    finally:
        running.release()
