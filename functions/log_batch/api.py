"""The HTTP face of log-batch: batches of loggers, and what edges ask of what they logged."""

import time
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from functions.log_batch import known
from functions.log_batch.handler import handle, handle_from
from shared.domain.errors import Malformed, SwitchboardError, Unauthenticated
from shared.domain.request_proof import HEADER, body_digest, verify_request
from shared.edge.asgi import Receive, Scope, Send
from shared.edge.body import Deadlines, Gone, read_body, too_large
from shared.edge.flight import Flight
from shared.edge.problems import NotAllowed, answer_problem
from shared.edge_keys import EdgeKeys
from shared.ports import FeedWriter
from shared.resources import Resources
from shared.stages import known as wire
from shared.stages.rows import EVENT_TYPE, MAX_BYTES, PROOF, SHARD, SOURCE, check_proof, cluster_of, unpack_batch

IN_FLIGHT_BYTES = 3 * MAX_BYTES  # of bodies; beyond it the answer is 429, and the logger comes again

Answer = Callable[[Request, Receive], Awaitable[Response]]


class Rows:
    """The ASGI app: a batch under its proof in, 204 once it is committed and on the feed; questions below /v1/log/."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._keys = resources.settings.secret_keys()
        self._edges = EdgeKeys(resources.settings.edge_keys)
        self._flight, self._deadlines = Flight(max_bytes=IN_FLIGHT_BYTES), Deadlines()
        self._answers: dict[str, Answer] = {
            wire.BODIES: self._bodies,
            wire.DELIVERED: self._delivered,
            wire.RECORDED: self._recorded,
            wire.ACCEPTED: self._accepted,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            if scope["method"] != "POST":
                raise NotAllowed("what is here takes POST")
            response = await self._answers.get(scope["path"], self._commit)(Request(scope), receive)
        except SwitchboardError as error:
            self._resources.counters.refuse(error.kind, error.rule)
            await answer_problem(send, error, [(b"allow", b"POST")] if isinstance(error, NotAllowed) else None)
        except Gone:
            pass
        else:
            await response(scope, receive, send)

    async def _commit(self, request: Request, receive: Receive) -> Response:
        proof = request.headers.get(PROOF, "")
        if not proof:
            raise Unauthenticated("the batch's proof (extension sbproof) is missing: this is for loggers of the install")
        if request.headers.get("ce-type") != EVENT_TYPE:
            raise Malformed(f"only events of type {EVENT_TYPE} are taken here")
        shard = request.headers.get(SHARD, "")
        if not shard.isascii() or not shard.isdecimal() or len(shard) > 4:
            raise Malformed("extension sbshard must be the shard's number")
        source = request.headers.get(SOURCE, "")
        cluster = cluster_of(source)
        body = await self._read(request, receive, MAX_BYTES)
        if self._flight.bytes + len(body) > self._flight.max_bytes:
            raise self._flight.overloaded()
        self._flight.bytes += len(body)
        try:
            check_proof((*self._keys, *self._edges.of(cluster)), source, int(shard), body, proof)
            await self._write(cluster, int(shard), body)
        finally:
            self._flight.bytes -= len(body)
        return Response(status_code=204)

    async def _write(self, cluster: str, shard: int, body: bytes) -> None:
        """What this cluster's own doors logged is on its feed since then."""
        taken, store = unpack_batch(body), await self._resources.store()
        if cluster == self._resources.settings.cluster:
            await handle(shard, taken, store)
        else:
            await handle_from(cluster, shard, taken, store, await self._feed())

    async def _feed(self) -> FeedWriter | None:
        return None if self._resources.settings.redis_url is None else await self._resources.feed_writer()

    async def _bodies(self, request: Request, receive: Receive) -> Response:
        asked = wire.wanted_bodies(await self._question(request, receive))
        return _packed(await known.bodies(asked, await self._resources.store()))

    async def _delivered(self, request: Request, receive: Receive) -> Response:
        asked = wire.wanted_deliveries(await self._question(request, receive))
        return _packed(await known.delivered(asked, await self._resources.store()))

    async def _recorded(self, request: Request, receive: Receive) -> Response:
        asked = wire.wanted_recorded(await self._question(request, receive))
        store = await self._resources.store()
        return _packed(await store.recorded(asked.backbone, asked.org, asked.since, asked.after, asked.limit, every=asked.every))

    async def _accepted(self, request: Request, receive: Receive) -> Response:
        asked = wire.wanted_accepted(await self._question(request, receive))
        return _packed(await known.accepted(asked, await self._resources.store()))

    async def _question(self, request: Request, receive: Receive) -> bytes:
        """The body, proven with its digest in the target."""
        query = request.scope["query_string"].decode("latin-1")
        proof = request.headers.get(HEADER, "")
        keys = (*self._keys, *self._edges.all())
        verify_request(keys, request.method, f"{request.scope['path']}?{query}", int(time.time()), proof)
        body = await self._read(request, receive, wire.MAX_QUESTION)
        if query != body_digest(body):
            raise Unauthenticated("the body isn't the one that was proven (sha256)")
        return body

    async def _read(self, request: Request, receive: Receive, limit: int) -> bytes:
        length = request.headers.get("content-length", "0")
        if length.isascii() and length.isdecimal() and int(length) > limit:
            raise too_large(limit)
        return await read_body(receive, limit, self._flight, self._deadlines)


def _packed(answer: object) -> Response:
    return Response(wire.encode(answer), media_type="application/vnd.msgpack")
