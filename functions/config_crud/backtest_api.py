"""`POST /v1/config/backtest`: as one answer, or with progress as lines of JSON (`Accept: application/x-ndjson`)."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from functions.config_crud import effective
from functions.config_crud.backtest import Place, Progress, Span, backtest, readable, wanted
from functions.config_crud.bodies import BacktestBody, parse
from functions.config_crud.documents import Admit
from functions.config_crud.effective import Proposal
from shared.backtest import Judging, Setup
from shared.domain import json_text, moments
from shared.domain.errors import Fault, Forbidden, Malformed, Overloaded, SwitchboardError
from shared.domain.message import uuid_text
from shared.domain.principal import Principal
from shared.domain.rules.again import Flip
from shared.edge import described
from shared.edge.problems import problem_document
from shared.edge.rest import caller
from shared.edge.writing import body_of, json_answer
from shared.resources import Resources
from shared.view import time_text

AT_ONCE = 2  # in a process: each has a child of its own
SECONDS = 45.0  # then what there is is answered: Knative gives a request 60
LINES = "application/x-ndjson"
GONE = 499  # nobody is there to get an answer

Caller = Annotated[Principal, Depends(caller)]
Org = str | None
COUNT, TEXT = {"type": "integer"}, {"type": "string"}
FLIP = described.object_of(id=TEXT, was=TEXT, now=TEXT, rule=TEXT)
FLIPS = described.object_of(count=COUNT, by_rule={"type": "object", "additionalProperties": COUNT}, first={"type": "array", "items": FLIP})
ANSWER = described.object_of(
    examined=COUNT,
    unknown={**COUNT, "description": "Refused messages whose body was cut: nobody can judge them again."},
    flips=FLIPS,
    reached={"type": ["string", "null"], "description": "When the last message that was examined was received."},
    next={"type": ["string", "null"], "description": "There are more: the same again with this as `cursor`, its buckets full again."},
)


def add(app: FastAPI, resources: Resources, admit: Admit) -> None:
    """Add the route to the app."""
    running = asyncio.Semaphore(AT_ONCE)

    @app.post(
        "/v1/config/backtest",
        summary="Which logged messages would flip if a document were at a path (null: if there were none)",
        responses=described.answers("What would flip, the oldest messages first", ANSWER),
        openapi_extra=described.body(BacktestBody.model_json_schema()),
    )
    async def run_backtest(request: Request, caller: Caller, org: Org = described.ORG) -> Response:
        text = await body_of(request, resources)
        value = json_text.parse(text)
        body = parse(BacktestBody, text)
        if "document" not in value:
            raise Malformed("document is missing", faults=[Fault("/document", "missing; null stands for no document")])
        span = _span(body)
        grants = readable(caller)
        if not grants:
            raise Forbidden("reading messages takes a grant with the action read", rule="grant")
        proposal = Proposal(body.path, value["document"])
        whose, path, documents = await effective.proposed(await resources.config(), admit, caller, org, proposal)
        if running.locked():
            raise Overloaded(f"{AT_ONCE} backtests are running here", retry_after_ms=5_000)
        progress = _releasing(running, backtest(await resources.store(), wanted(whose, path, span, grants), span, documents, _judging))
        if LINES in request.headers.get("accept", ""):
            return Lines(_lines(progress), media_type=LINES, headers={"cache-control": "no-store"})
        return await _whole(request, progress)


class Lines(StreamingResponse):
    """A stream whose source is closed as soon as the client is gone: a generator left half-way would end whenever it is collected."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with aclosing(self.body_iterator):  # type: ignore[type-var]  # it is the generator that it was given
            await super().__call__(scope, receive, send)


def _judging(documents: Any, first: int) -> Judging:
    return Judging(Setup(documents, first))


def _span(body: BacktestBody) -> Span:
    now = time.time_ns() // 1000
    times = {}
    for name, text in (("since", body.since), ("until", body.until)):
        try:
            times[name] = now if text is None else moments.moment(text, now)
        except ValueError as error:
            raise Malformed(f"{name}: {error}", faults=[Fault(f"/{name}", str(error))]) from error
    if times["since"] > times["until"]:
        raise Malformed("since is later than until", faults=[Fault("/since", "later than until")])
    return Span(times["since"], times["until"], body.limit, _place(body.cursor) if body.cursor is not None else None)


def _place(cursor: str) -> Place:
    """Raises Malformed for a time that no message was received at: such a cursor is of nobody's making but the caller's."""
    time, _, record = cursor.partition("-")
    if int(time) > moments.LAST:
        raise Malformed("the cursor is not one: use `next` of the answer before", faults=[Fault("/cursor", "not a cursor")])
    return int(time), bytes.fromhex(record)


async def _releasing(running: asyncio.Semaphore, progress: AsyncGenerator[Progress]) -> AsyncGenerator[Progress]:
    """The same, within the time there is; whoever waits may begin when it ends, however it does."""
    async with running, aclosing(progress):  # its child ends with it
        until = time.monotonic() + SECONDS
        async for one in progress:
            yield one
            if time.monotonic() > until:
                return


async def _whole(request: Request, progress: AsyncGenerator[Progress]) -> Response:
    """The last of it. Stops when the client goes."""
    last: Progress | None = None
    async with aclosing(progress):
        async for one in progress:
            last = one
            if await request.is_disconnected():
                return Response(status_code=GONE)
    assert last is not None
    return json_answer(_view(last))


async def _lines(progress: AsyncGenerator[Progress]) -> AsyncIterator[bytes]:
    async with aclosing(progress):
        try:
            async for one in progress:
                yield msgspec.json.encode(_view(one)) + b"\n"
        except SwitchboardError as error:
            yield msgspec.json.encode({"error": problem_document(error)}) + b"\n"


def _view(progress: Progress) -> dict[str, object]:
    tally = progress.tally
    return {
        "examined": tally.examined,
        "unknown": tally.unknown,
        "flips": {"count": tally.flips, "by_rule": tally.by_rule, "first": [_flip(flip) for flip in tally.first]},
        "reached": None if progress.after is None else time_text(progress.after[0]),
        "next": None if progress.complete or progress.after is None else f"{progress.after[0]}-{progress.after[1].hex()}",
    }


def _flip(flip: Flip) -> dict[str, str]:
    return {"id": uuid_text(flip.id), "was": flip.was, "now": flip.now, "rule": flip.rule}
