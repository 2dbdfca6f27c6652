"""The events path as raw ASGI: authenticate, read, decode, hand over, answer. What it costs is on every message's bill."""

import logging
from collections.abc import Callable, Sequence, Set
from time import perf_counter, time_ns

from functions.door import Each, OneByOne, Running, Submit, Told, handle
from functions.ingest.answers import Answer, batch_answer, bodies_of, one_answer, send_whole, traced
from functions.ingest.head import check_head, is_batch
from functions.ingest.turn import Asked, Turn
from functions.ingest.webhook import ALLOW, handshake
from shared.codec import (
    MAX_BATCH_BYTES,
    MAX_EVENT_BYTES,
    Context,
    Decoded,
    decode_http,
    encode_problem,
    encode_receipts,
    trace_of,
)
from shared.domain.errors import SwitchboardError
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.verdict import Outcome
from shared.edge.app import internal
from shared.edge.asgi import JSON, Header, Receive, Scope, Send, answer
from shared.edge.body import Deadlines, Gone, read_body, refuse_unread
from shared.edge.flight import Flight
from shared.edge.hops import hop_answer, wants_reply
from shared.edge.logs import log_request, requests
from shared.edge.metrics import Counters
from shared.edge.principals import Principals
from shared.edge.problems import NotAllowed, answer_problem, problem_headers
from shared.edge.vouched import BYTES as VOUCHED_BYTES
from shared.edge.vouched import PROOF, Vouched
from shared.edge.whole import Client, Head, response

log = logging.getLogger(__name__)

SLOW = 1.0  # seconds; a slower answer gets a log line
UNREAD_BYTES = 64 * 1024  # a refused body up to this is read away behind the answer, and the connection goes on
TOO_SLOW = 408  # the rest of the body is not waited for
CLIENT_GONE = 499  # counted only: nobody is there to get an answer


class Door:
    """`POST /v1/events`. One object a process; `post` is the fast path, calling the door answers any method."""

    def __init__(
        self,
        submit: Submit,
        principals: Principals,
        counters: Counters,
        flight: Flight,
        *,
        each: Each | None = None,
        vouched: Vouched | None = None,
        cluster: str = "local",
        webhook_origins: Set[str] = frozenset(),
        deadlines: Deadlines | None = None,
    ) -> None:
        self._submit = submit
        self._principals = principals
        self._counters = counters
        self._flight = flight
        self._unproven = Flight(max_bytes=VOUCHED_BYTES)  # bodies of who may be anybody, while they come
        self._vouched = vouched
        self._cluster = cluster
        self._webhook_origins = webhook_origins
        self._deadlines = deadlines or Deadlines()
        self._turn = Turn(each or OneByOne(submit), self._told)
        self._running = Running()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer POST, the WebHook handshake, and 405 to anything else."""
        if scope["method"] == "POST":
            await self.post(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await answer(send, 200, b"", handshake(dict(scope["headers"]), self._webhook_origins))
        else:
            await answer_problem(send, NotAllowed("events come by POST"), [ALLOW])

    async def post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the events of one request, as ASGI."""
        started, headers = perf_counter(), scope["headers"]
        fields: dict[bytes, bytes] = dict(headers)
        unread, status = True, CLIENT_GONE
        try:
            try:
                principal, limit = self._admit(fields, scope)
                body = await read_body(receive, limit, self._unproven if self._is_vouched(fields) else self._flight, self._deadlines)
                unread = False
                decoded, size = self._decode(fields, headers, principal, body), len(body)
                del body
                answered = await self._take(fields, decoded, size, principal)
            except Gone:
                return
            except Exception as error:
                answered = self._failed(error, scope)
            status, answer, back = answered
            if unread and (b"transfer-encoding" in fields or int(fields.get(b"content-length", 0)) > UNREAD_BYTES):
                await refuse_unread(receive, send, status, answer, back)
            else:
                await send_whole(send, status, answer, traced(back, fields))
        finally:
            self._note(scope, status, started)

    def whole(self, head: Head, body: bytes, client: Client, answer: Callable[[bytes], None]) -> None:
        """Take the events of one request that came whole; `answer` gets the whole response, now or later. Raises nothing."""
        asked = Asked(head, client, answer, perf_counter(), len(body))
        try:
            principal, _ = self._admit(head.fields, head.scope)
            decoded = self._decode(head.fields, head.headers, principal, body)
        except Exception as error:
            self._answer(asked, self._failed(error, head.scope))
            return
        self._flight.enter(len(decoded.items), asked.size)  # here: whoever else comes in this turn finds it there
        if decoded.single and b"prefer" not in head.fields:
            (message,) = decoded.items
            assert isinstance(message, Message)  # what can't be read was raised
            self._turn.add(asked, message, principal)
        else:
            self._running.start(self._alone(asked, decoded, principal))

    def _told(self, together: Sequence[Asked], places: Sequence[int], told: Told) -> None:
        """Answer those of a turn's requests that are at these places."""
        some = [together[place] for place in places]
        self._flight.leave(len(some), sum([asked.size for asked in some]))
        if isinstance(told, Exception):
            for asked in some:
                self._answer(asked, self._failed(told, asked.head.scope))
            return
        self._counters.count(told)
        bodies = bodies_of(told)
        if bodies is not None:  # nearly always
            for asked, body in zip(some, bodies, strict=True):
                self._answer(asked, (202, body, [JSON]))
            return
        for asked, outcome in zip(some, told, strict=True):
            try:
                answer = one_answer(outcome)
            except Exception as error:  # its neighbours are told all the same
                answer = self._failed(error, asked.head.scope)
            self._answer(asked, answer)

    async def _alone(self, asked: Asked, decoded: Decoded, principal: Principal) -> None:
        """Answer a request that is not one event to be told a receipt of."""
        try:
            answered = await self._entered(asked.head.fields, decoded, asked.size, principal)
        except Exception as error:
            answered = self._failed(error, asked.head.scope)
        self._answer(asked, answered)

    def _answer(self, asked: Asked, answer: Answer) -> None:
        head, (status, body, back) = asked.head, answer
        self._note(head.scope, status, asked.started, asked.client)
        try:
            asked.answer(response(status, body, traced(back, head.fields)))
        except Exception:  # its neighbours are told all the same
            log.exception("a response could not be written")

    def _failed(self, error: Exception, scope: Scope) -> Answer:
        """What a request is answered with as a whole."""
        if not isinstance(error, SwitchboardError):
            log.error("POST %s failed", scope["path"], exc_info=error)
            return 500, encode_problem(internal()), problem_headers(internal())
        self._counters.refuse(error.kind, error.rule)
        headers = problem_headers(error)
        if error.status == TOO_SLOW:
            headers.append((b"connection", b"close"))
        return error.status, encode_problem(error), headers

    def _note(self, scope: Scope, status: int, started: float, client: tuple[str, int] | None = None) -> None:
        seconds = perf_counter() - started
        self._counters.answered(status, seconds)
        if status >= 500 or seconds > SLOW or requests.isEnabledFor(logging.DEBUG):
            log_request("ingest", scope if client is None else {**scope, "client": client}, status, seconds)

    def _admit(self, fields: dict[bytes, bytes], scope: Scope) -> tuple[Principal, int]:
        """Who sends, and the most bytes of a body. Raises SwitchboardError for what the head alone says against the request."""
        authorization = fields.get(b"authorization")
        if authorization is not None:
            principal = self._principals.of(authorization)
        elif self._vouched is not None and PROOF in fields:
            principal = self._vouched.principal(scope["headers"])
        else:
            principal = self._principals.of_request(scope)
        limit = MAX_BATCH_BYTES if is_batch(fields.get(b"content-type")) else MAX_EVENT_BYTES
        check_head(fields, scope["headers"], limit)
        return principal, limit

    def _decode(self, fields: dict[bytes, bytes], headers: Sequence[Header], principal: Principal, body: bytes) -> Decoded:
        """The events of a request. Raises SwitchboardError for what concerns it as a whole, and where there is no room for it."""
        flight = self._flight
        if flight.events >= flight.max_events or flight.bytes + len(body) > flight.max_bytes:
            raise flight.overloaded()
        trace = trace_of(headers) if b"traceparent" in fields else None
        context = Context(principal.org, "http", principal.name, time_ns() // 1000, self._principals.revision, trace)
        if self._vouched is not None and self._is_vouched(fields):
            decoded = decode_http(fields.get(b"content-type"), self._vouched.rest(headers), body, context)
            self._vouched.check(headers, decoded)
            return decoded
        return decode_http(fields.get(b"content-type"), headers, body, context)

    async def _take(self, fields: dict[bytes, bytes], decoded: Decoded, size: int, principal: Principal) -> Answer:
        """Submit what a body of so many bytes had."""
        self._flight.enter(len(decoded.items), size)
        return await self._entered(fields, decoded, size, principal)

    async def _entered(self, fields: dict[bytes, bytes], decoded: Decoded, size: int, principal: Principal) -> Answer:
        """The same of what is counted as in flight; it is no more then."""
        try:
            outcomes = await handle(decoded.items, principal, self._submit)
        finally:
            self._flight.leave(len(decoded.items), size)
        self._counters.count(outcomes)
        if b"prefer" in fields and wants_reply(fields[b"prefer"]):
            return self._reply(outcomes)
        return one_answer(outcomes[0]) if decoded.single else batch_answer(outcomes)

    def _is_vouched(self, fields: dict[bytes, bytes]) -> bool:
        """Whether a source is to speak for the sender."""
        return PROOF in fields and self._vouched is not None and b"authorization" not in fields

    def _reply(self, outcomes: Sequence[Outcome]) -> Answer:
        try:
            status, headers, body = hop_answer(outcomes, encode_receipts(outcomes), self._cluster, "ingest")
        except SwitchboardError as error:
            return error.status, encode_problem(error), problem_headers(error)
        return status, body, headers
