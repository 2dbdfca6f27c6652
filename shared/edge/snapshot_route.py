"""A route that gives what functions hold at a revision, to stages and edges of this install: with entity tag and long poll."""

import asyncio
import time
from collections.abc import Callable

import msgspec
from fastapi import FastAPI, Query, Request, Response
from starlette.status import HTTP_304_NOT_MODIFIED

from shared.domain.errors import NotFound
from shared.domain.snapshot import Snapshot
from shared.edge.proven import DESCRIBED, Proven
from shared.edge.writing import not_modified
from shared.resources import Resources

MAX_WAIT = 30  # seconds
SLICE = 1.0  # seconds after which a long poll looks whether this process is about to end
MEDIA_TYPE = "application/vnd.msgpack"
LATEST = 2**63 - 2

Encode = Callable[[Snapshot], bytes]

_DESCRIBED = {
    "security": [],
    "parameters": [DESCRIBED, {"name": "if-none-match", "in": "header", "required": False, "schema": {"type": "string"}}],
}


def add_snapshot(app: FastAPI, resources: Resources, proven: Proven, path: str, summary: str, encode: Encode) -> None:
    """Add the route to the app; `encode` makes its MessagePack of a snapshot."""
    encoded = _Encoded(encode)

    @app.get(
        path,
        summary=summary,
        responses={200: {"content": {MEDIA_TYPE: {}}}, 304: {"description": "If-None-Match has it, and no other came within `wait`."}},
        openapi_extra=_DESCRIBED,
    )
    async def read_snapshot(
        request: Request,
        revision: int | None = Query(None, ge=0, le=LATEST),
        wait: float = Query(0, ge=0, le=MAX_WAIT, description="Seconds to wait for the revision, or for another than If-None-Match has."),
    ) -> Response:
        edge = proven.check(request)
        if revision is None:
            found = await _waited(resources, lambda number: not not_modified(request, number), wait)
        else:
            found = await _at(resources, revision, wait)
        etag = {"etag": f'"{found.revision}"', "cache-control": "no-store"}
        if not_modified(request, found.revision):
            return Response(status_code=HTTP_304_NOT_MODIFIED, headers=etag)
        if edge is None or not any(one.keys for one in found.backbones):
            return Response(encoded.of(found), media_type=MEDIA_TYPE, headers=etag)
        own = await asyncio.to_thread(lambda: encode(_for_edge(found, resources, edge)))  # a signature for each backbone, at first
        return Response(own, media_type=MEDIA_TYPE, headers=etag)


def _for_edge(snapshot: Snapshot, resources: Resources, key: bytes) -> Snapshot:
    """The snapshot as an edge with a key of its own gets it."""
    return msgspec.structs.replace(snapshot, backbones=resources.logins.for_edge(snapshot.backbones, key))


class _Encoded:
    """The bytes of the snapshot that was asked for last: all edges ask for the same one at once."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._snapshot: Snapshot | None = None
        self._bytes = b""

    def of(self, snapshot: Snapshot) -> bytes:
        if snapshot is not self._snapshot:
            self._snapshot, self._bytes = snapshot, self._encode(snapshot)
        return self._bytes


async def _waited(resources: Resources, wanted: Callable[[int], bool], wait: float) -> Snapshot:
    """The snapshot in force, once it is wanted, or after `wait` seconds; at once when this process is about to end."""
    limit = time.monotonic() + wait
    while True:
        left = limit - time.monotonic()
        found = await resources.snapshots.until(wanted, max(0.0, min(left, SLICE)))
        if wanted(found.revision) or left <= SLICE or resources.draining:
            return found


async def _at(resources: Resources, revision: int, wait: float) -> Snapshot:
    """The snapshot of a revision; one that is to come is waited for. Raises NotFound, Unavailable."""
    current = await _waited(resources, lambda number: number >= revision, wait)
    found = resources.snapshots.recent(revision)
    if found is not None:
        return found
    if current.revision < revision and wait > 0:
        raise NotFound(f"config revision {revision} did not come within {wait:g} s")
    return await (await resources.config()).snapshot(revision)
