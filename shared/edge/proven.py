"""Requests of processes of this install, and of edges with a key of their own: those under a proof (shared/domain/request_proof.py)."""

import time
from typing import Any

from starlette.requests import Request

from shared.domain.errors import Unauthenticated
from shared.domain.request_proof import FRESH_S, HEADER, body_digest, verify_request
from shared.edge.rest import HEAD
from shared.edge.writing import body_of
from shared.edge_keys import EdgeKeys
from shared.resources import Resources

DESCRIBED: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": f"`<seconds since 1970>.<HMAC>` over method and target, made {FRESH_S} s ago at most with the install's secret, or an "
    "edge's own key. The target of a request with a body has the body's digest as its query: `sha256=<hex>`.",
}


class Proven:
    """Checks proofs by the keys of a process."""

    def __init__(self, resources: Resources) -> None:
        self._resources, self._edges = resources, EdgeKeys(resources.settings.edge_keys)

    def check(self, request: Request) -> bytes | None:
        """The own key of the edge that asks; None where it has the install's secret. Raises Unauthenticated for a request without its
        proof."""
        own = tuple(self._resources.settings.secret_keys())
        query = _query(request)
        target = request.scope["path"] + (f"?{query}" if query else "")
        method = "HEAD" if HEAD in request.scope else request.method
        key = verify_request((*own, *self._edges.all()), method, target, int(time.time()), request.headers.get(HEADER, ""))
        return None if key in own else key

    async def body(self, request: Request) -> bytes:
        """The body of a request that is proven, body and all. Raises Unauthenticated; TooLarge, Malformed."""
        self.check(request)
        body = await body_of(request, self._resources)
        if _query(request) != body_digest(body):
            raise Unauthenticated("the body isn't the one that was proven (sha256)")
        return body


def _query(request: Request) -> str:
    query: bytes = request.scope["query_string"]
    return query.decode("latin-1")
