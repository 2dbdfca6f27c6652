"""The REST face of query: `/v1/messages` (contracts.md, "Query")."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Annotated

import msgspec
from fastapi import Depends, FastAPI, Request, Response

from functions.query import handler, parameters
from functions.query.cursor import Cursor, seal, unseal
from functions.query.explain import steps
from functions.query.filtered import compiled, sift
from functions.query.judged_by import Judged, scopes
from shared.domain.errors import Malformed, Unavailable
from shared.domain.message import uuid_text
from shared.domain.names import check_pattern
from shared.domain.principal import Principal
from shared.domain.rules.scope import Scope
from shared.domain.stored import Search, StoredMessage
from shared.edge.rest import caller, rest_app
from shared.resources import Resources
from shared.view import encode, message_view

ORG = {"org": "The org to look in: for system admins. Default: the key's own."}
FILTERS = {
    "topic": "A NATS pattern: `*` stands for one token, `>` at the end for one or more.",
    "subject": "The recipient, exactly.",
    "source": "The producer's source, exactly.",
    "event_id": "The producer's event id, exactly.",
    "type": "The event's type, exactly.",
    "verdict": "`accepted` or `blocked`.",
    "since": "The earliest `received_at`: an RFC 3339 time, or an age like `15m`, `2h`, `7d`.",
    "until": "Before this `received_at`, likewise.",
    "filter": "A CEL expression (docs/rules.md), like `data.total > 100`. A page may be short, or empty: `next` goes on looking.",
}
PAGING = {"limit": "Most items of a page, 1 to 1000. Default 100.", "cursor": "`next` of the page before; the filters stay the same."}
RAW = {"raw": "`1`: the body alone, byte for byte, under its own content type."}

EXACT = ("subject", "source", "event_id", "type")
_MEDIA_TYPE = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,255}")

Caller = Annotated[Principal, Depends(caller)]


def api(resources: Resources) -> FastAPI:
    """The app; `resources` gives it the store, the keys that sign cursors, and who is asking."""
    app = rest_app("query", resources.snapshots, resources.cookies, resources.tokens)
    turn = asyncio.Lock()  # of filters

    @app.get("/v1/messages", summary="Search messages, newest first", openapi_extra=_documented(FILTERS | PAGING | ORG))
    async def search_messages(request: Request, caller: Caller) -> Response:
        asked = _asked(request, FILTERS | PAGING | ORG)
        return await _search(resources, caller, asked, turn)

    @app.get("/v1/messages/{id}", summary="One message by its id", openapi_extra=_documented(RAW | ORG))
    async def read_message(id: str, request: Request, caller: Caller) -> Response:
        asked = _asked(request, RAW | ORG)
        if asked.get("raw", "0") not in ("0", "1"):
            raise parameters.wrong("raw", "0 or 1")
        found = await handler.find(await resources.store(), caller, asked.get("org"), parameters.message_uuid(id))
        if asked.get("raw") == "1":
            return _raw(found.newest)
        return _json({**message_view(found.newest), "earlier": [message_view(row) for row in found.earlier], "attempts": found.attempts})

    @app.get("/v1/messages/{id}/why", summary="What happened to a message, step by step", openapi_extra=_documented(ORG))
    async def explain_message(id: str, request: Request, caller: Caller) -> Response:
        asked = _asked(request, ORG)
        found = await handler.find(await resources.store(), caller, asked.get("org"), parameters.message_uuid(id))
        told = steps(found, await _judged_by(resources, found))
        return _json({"id": uuid_text(found.newest.message.id), "message": message_view(found.newest), "steps": told})

    return app


async def _judged_by(resources: Resources, found: handler.Found) -> dict[Judged, Scope]:
    try:
        return await scopes(await resources.config(), reversed(found.rows))
    except Unavailable:  # what happened is told without the rules' texts
        return {}


async def _search(resources: Resources, caller: Principal, asked: dict[str, str], turn: asyncio.Lock) -> Response:
    org, readable = handler.reach(caller, asked.get("org"))
    filters = {name: value for name, value in asked.items() if name in FILTERS}
    keys = resources.settings.secret_keys()
    after = unseal(asked["cursor"], org, filters, keys) if "cursor" in asked else None
    wanted = _wanted(filters, parameters.count(asked.get("limit")), after)
    wanted = msgspec.structs.replace(wanted, org=org, readable=readable)
    filter = compiled(filters["filter"]) if "filter" in filters else None
    rows: Sequence[StoredMessage]
    if filter is not None:
        sifted = await sift(await resources.store(), wanted, filter, turn)
        rows, end = sifted.rows, sifted.end
    else:
        page = await handler.search(await resources.store(), wanted)
        rows = page.rows
        end = (rows[-1].message.received_at, rows[-1].record_id) if page.more else None
    following = None if end is None else seal(Cursor(*end, wanted.since), org, filters, keys)
    return _json({"items": [message_view(row) for row in rows], "next": following})


def _wanted(filters: dict[str, str], limit: int, after: Cursor | None) -> Search:
    """The filters as the store takes them; org and grants are the caller's business. Raises Malformed naming the parameter."""
    if filters.get("verdict", "accepted") not in ("accepted", "blocked"):
        raise parameters.wrong("verdict", "accepted or blocked")
    try:
        topic = check_pattern(filters["topic"]) if "topic" in filters else None
    except Malformed as error:
        raise parameters.wrong("topic", "not a pattern: `*` stands for one token, `>` at the end for one or more") from error
    now = time.time_ns() // 1000
    since, until = (parameters.moment(name, filters[name], now) if name in filters else None for name in ("since", "until"))
    if after is not None:
        since = after.since
    if since is not None and until is not None and since > until:
        raise parameters.wrong("since", "later than until")
    return Search(
        org="",
        readable=(),
        topic=topic,
        verdict=filters.get("verdict"),
        since=since,
        until=until,
        limit=limit,
        before=(after.received_at, after.record_id) if after else None,
        **{name: filters.get(name) for name in EXACT},
    )


def _asked(request: Request, known: dict[str, str]) -> dict[str, str]:
    """The query's parameters. An unknown one is refused: a typo would otherwise answer with everything."""
    asked: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise parameters.wrong(name, f"not a parameter here; there are {', '.join(known)}")
        if name in asked:
            raise parameters.wrong(name, "given more than once")
        if "\0" in value:
            raise parameters.wrong(name, "has a NUL character")
        asked[name] = value
    return asked


def _documented(known: dict[str, str]) -> dict[str, object]:
    """The same parameters for /openapi.json."""
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
            for name, text in known.items()
        ]
    }


def _json(document: dict[str, object]) -> Response:
    return Response(encode(document), media_type="application/json", headers={"cache-control": "no-store"})


def _raw(row: StoredMessage) -> Response:
    """The body's bytes. A browser that is led here saves them: they are somebody else's, and must never run as ours."""
    media_type = row.message.datacontenttype or "application/json"  # CloudEvents: absent means JSON
    headers = {
        "content-type": media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream",
        "content-disposition": "attachment",
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    if row.cut:
        headers["switchboard-cut"] = "true"
    return Response(row.message.body or b"", headers=headers)
