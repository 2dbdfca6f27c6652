"""The events path as raw ASGI: authenticate, read, decode, hand over, answer. What it costs is on every message's bill."""

import logging
from collections.abc import Sequence, Set
from time import perf_counter, time_ns

from functions.ingest.handler import Submit, handle
from functions.ingest.webhook import ALLOW, handshake
from shared.codec import Context, decode_http, encode_problem, encode_receipt, encode_receipts, trace_of
from shared.domain.errors import Fault, Malformed, SwitchboardError
from shared.domain.verdict import Outcome, Receipt, Refusal
from shared.edge.app import internal
from shared.edge.asgi import JSON, Header, Receive, Scope, Send, answer
from shared.edge.body import Deadlines, Gone, read_body, refuse_unread, too_large
from shared.edge.flight import Flight
from shared.edge.hops import hop_answer, wants_reply
from shared.edge.logs import log_request, requests
from shared.edge.metrics import Counters
from shared.edge.principals import Principals
from shared.edge.problems import RETRIED, NotAllowed, answer_problem, problem_headers, retry_after

log = logging.getLogger(__name__)

SINGLE_BYTES = 2 * 1024 * 1024
BATCH_BYTES = 8 * 1024 * 1024
BATCH_TYPE = b"application/cloudevents-batch"
SLOW = 1.0  # seconds; a slower answer gets a log line
UNREAD_BYTES = 64 * 1024  # a refused body up to this is read away behind the answer, and the connection goes on
TOO_SLOW = 408  # the rest of the body is not waited for
CLIENT_GONE = 499  # counted only: nobody is there to get an answer
ONCE = frozenset((b"authorization", b"content-type", b"content-encoding", b"content-length", b"prefer"))


class _Request:
    """One POST on its way through: what the answer depends on. The headers are looked at once."""

    __slots__ = ("headers", "receive", "scope", "send", "unread")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.unread = True
        raw = scope["headers"]
        self.headers: dict[bytes, bytes] = dict(raw)

    def check_head(self, limit: int) -> None:
        """Raises what the headers alone say against the request."""
        headers = self.headers
        if len(headers) != len(self.scope["headers"]):
            _refuse_repeated(self.scope["headers"])
        if b"upgrade" in headers:  # shared/edge/server.py says why: this request's body may be lost already
            raise Malformed("send the event without an Upgrade header", faults=[Fault("upgrade", "not on a POST")])
        encoding = headers.get(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            fault = Fault("content-encoding", "only identity is taken")
            raise Malformed("send the event uncompressed: Content-Encoding is not taken here", faults=[fault], status=415)
        length = headers.get(b"content-length")
        if length is not None and int(length) > limit:
            raise too_large(limit)

    async def answer(self, status: int, body: bytes, headers: list[Header]) -> None:
        """Send a whole response; `content-length` and the request's `traceparent` are added."""
        headers.append((b"content-length", b"%d" % len(body)))
        traceparent = self.headers.get(b"traceparent")
        if traceparent is not None:
            headers.append((b"traceparent", traceparent))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def refuse(self, error: SwitchboardError) -> None:
        """Answer with an error that concerns the request as a whole."""
        if self.unread and (b"transfer-encoding" in self.headers or int(self.headers.get(b"content-length", 0)) > UNREAD_BYTES):
            await refuse_unread(self.receive, self.send, error.status, encode_problem(error), problem_headers(error))
        else:
            headers = problem_headers(error)
            if error.status == TOO_SLOW:
                headers.append((b"connection", b"close"))
            await self.answer(error.status, encode_problem(error), headers)


class Door:
    """`POST /v1/events`. One object a process; `post` is the fast path, calling the door answers any method."""

    def __init__(
        self,
        submit: Submit,
        principals: Principals,
        counters: Counters,
        flight: Flight,
        *,
        cluster: str = "local",
        webhook_origins: Set[str] = frozenset(),
        deadlines: Deadlines | None = None,
    ) -> None:
        self._submit = submit
        self._principals = principals
        self._counters = counters
        self._flight = flight
        self._cluster = cluster
        self._webhook_origins = webhook_origins
        self._deadlines = deadlines or Deadlines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer POST, the WebHook handshake, and 405 to anything else."""
        if scope["method"] == "POST":
            await self.post(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await answer(send, 200, b"", handshake(dict(scope["headers"]), self._webhook_origins))
        else:
            await answer_problem(send, NotAllowed("events come by POST"), [ALLOW])

    async def post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the events of one request."""
        started = perf_counter()
        request = _Request(scope, receive, send)
        status = CLIENT_GONE
        try:
            status = await self._take(request)
        except SwitchboardError as error:
            status = error.status
            self._counters.refuse(error.kind, error.rule)
            await request.refuse(error)
        except Gone:
            pass
        except Exception:
            status = 500
            log.exception("POST %s failed", scope["path"])
            await request.refuse(internal())
        finally:
            seconds = perf_counter() - started
            self._counters.answered(status, seconds)
            if status >= 500 or seconds > SLOW or requests.isEnabledFor(logging.DEBUG):
                log_request("ingest", scope, status, seconds)

    async def _take(self, request: "_Request") -> int:
        """Read, decode, submit and answer; the status answered. Raises SwitchboardError for what concerns the request as a whole."""
        headers = request.headers
        authorization = headers.get(b"authorization")
        principals = self._principals
        principal = principals.of_request(request.scope) if authorization is None else principals.of(authorization)
        content_type = headers.get(b"content-type")
        limit, flight = BATCH_BYTES if _is_batch(content_type) else SINGLE_BYTES, self._flight
        request.check_head(limit)
        body = await read_body(request.receive, limit, flight, self._deadlines)
        request.unread, size = False, len(body)
        if flight.events >= flight.max_events or flight.bytes + size > flight.max_bytes:
            raise flight.overloaded()
        trace = trace_of(request.scope["headers"]) if b"traceparent" in headers else None
        context = Context(principal.org, "http", principal.name, time_ns() // 1000, self._principals.revision, trace)
        decoded = decode_http(content_type, request.scope["headers"], body, context)
        count = len(decoded.items)
        flight.events += count
        flight.bytes += size
        try:
            outcomes = await handle(decoded.items, principal, self._submit)
        finally:
            flight.events -= count
            flight.bytes -= size
        self._count(outcomes)
        if b"prefer" in headers and wants_reply(headers[b"prefer"]):
            return await self._reply(request, outcomes)
        status, answer, headers_back = _one_answer(outcomes[0]) if decoded.single else _batch_answer(outcomes)
        await request.answer(status, answer, headers_back)
        return status

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        counters = self._counters
        for outcome in outcomes:
            if type(outcome) is Receipt:
                counters.accepted += 1
                if outcome.duplicate:
                    counters.duplicates += 1
                for delivery in outcome.deliveries:
                    if delivery.status == "pending":
                        counters.pending += 1
            elif type(outcome) is Refusal:
                counters.refuse(outcome.error.kind, outcome.error.rule)

    async def _reply(self, request: "_Request", outcomes: Sequence[Outcome]) -> int:
        try:
            status, headers, body = hop_answer(outcomes, encode_receipts(outcomes), self._cluster, "ingest")
        except SwitchboardError as error:
            await answer_problem(request.send, error)
            return error.status
        await request.answer(status, body, headers)
        return status


def _is_batch(content_type: bytes | None) -> bool:
    return content_type is not None and content_type[: len(BATCH_TYPE)].lower() == BATCH_TYPE


def _refuse_repeated(headers: Sequence[Header]) -> None:
    """Two values where one is meant could mean one thing to a proxy before us and another to us. The codec judges `ce-` headers."""
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in ONCE and name in seen:
            text = name.decode()
            raise Malformed(f"the header {text} is there more than once", faults=[Fault(text, "more than once")])
        seen.add(name)


def _one_answer(outcome: Outcome) -> tuple[int, bytes, list[Header]]:
    """Status, body and headers."""
    if type(outcome) is Receipt:
        return 202, encode_receipt(outcome), [JSON]
    assert isinstance(outcome, Refusal)
    return outcome.error.status, encode_problem(outcome), problem_headers(outcome.error)


def _batch_answer(outcomes: Sequence[Outcome]) -> tuple[int, bytes, list[Header]]:
    """202 when all were accepted, 429 or 503 when that is what all were told, else 207."""
    refused = [outcome.error for outcome in outcomes if isinstance(outcome, Refusal)]
    headers = [JSON]
    status = 207 if refused else 202
    if refused and len(refused) == len(outcomes) and len({error.status for error in refused}) == 1 and refused[0].status in RETRIED:
        status = refused[0].status
        headers.append(retry_after(max(refused, key=lambda error: error.retry_after_ms or 0)))
    return status, encode_receipts(outcomes), headers
