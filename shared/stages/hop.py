"""A stage as others reach it: a POST of internal events, each under its proof, answered by one event for each.

The answers are what a Knative broker understands (contracts.md, "Event hops"): 200 with a CloudEvent, or an error's status. Several
events come as one batch, which no broker sends; its answer is a batch in the same order.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import TypeAlias

import msgspec

from shared.codec import encode_problem
from shared.domain.errors import Malformed, SwitchboardError, Unavailable
from shared.domain.message import Message
from shared.edge.app import internal
from shared.edge.asgi import Header, Receive, Scope, Send, answer
from shared.edge.body import Deadlines, Gone, read_body, too_large
from shared.edge.hops import wants_reply
from shared.edge.logs import log_request, requests
from shared.edge.problems import NotAllowed, problem_headers
from shared.resources import Resources
from shared.stages import events as wire

log = logging.getLogger(__name__)

SLOW = 1.0  # seconds; a slower answer gets a log line
ALLOW: Header = (b"allow", b"POST")
DEAD_LETTERS = "/dead-letters"  # where a broker sends what it gave up on: it is named in the log, and the relay does it

Asked: TypeAlias = tuple[Message, wire.Said]
Replied: TypeAlias = tuple[str, wire.Said]  # type and data of the answer
Answers: TypeAlias = Sequence[Replied | None]  # None: there is nothing to say, and the event is done with
Answering: TypeAlias = Callable[[Sequence[Asked]], Awaitable[Answers]]


class Hop:
    """The ASGI app of one stage. `takes` is the type of its events; `answering` gives the answer to each, in order."""

    def __init__(self, function: str, takes: str, answering: Answering, resources: Resources) -> None:
        self._function, self._takes, self._answering, self._resources = function, takes, answering, resources
        self._source = f"/clusters/{resources.settings.cluster}/{function}"
        self._keys = resources.settings.secret_keys()
        self._deadlines = Deadlines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answered = await self._answered(scope, receive)
        if answered is not None:
            status, body, headers = answered
            await answer(send, status, body, headers)

    async def post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same on the events path, past the framework: a log line for each hop would cost more than a verdict."""
        started = perf_counter()
        answered = await self._answered(scope, receive)
        if answered is not None:
            status, body, headers = answered
            await answer(send, status, body, headers)
            seconds = perf_counter() - started
            self._resources.counters.statuses[status] += 1
            if status >= 500 or seconds > SLOW or requests.isEnabledFor(logging.DEBUG):
                log_request(self._function, scope, status, seconds)

    async def _answered(self, scope: Scope, receive: Receive) -> tuple[int, bytes, list[Header]] | None:
        """Status, body and headers; None where nobody is there any more."""
        try:
            content_type, body = await self._take(scope, receive)
            return (200, body, [(b"content-type", content_type.encode())]) if body else (202, b"", [])
        except SwitchboardError as error:
            self._resources.counters.refuse(error.kind, error.rule)
            refusal = error
        except Gone:
            return None
        except Exception:
            log.exception("a stage failed", extra={"path": scope["path"]})
            refusal = internal()
        allow = [ALLOW] if isinstance(refusal, NotAllowed) else []
        return refusal.status, encode_problem(refusal), [*problem_headers(refusal), *allow]

    async def _take(self, scope: Scope, receive: Receive) -> tuple[str, bytes]:
        """Content-Type and body of the answer; no body where there is nothing to say."""
        if scope["method"] != "POST":
            raise NotAllowed("events come by POST")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if int(headers.get("content-length", 0)) > wire.TAKEN_BYTES:
            raise too_large(wire.TAKEN_BYTES)
        flight = self._resources.flight
        body = await read_body(receive, wire.TAKEN_BYTES, flight, self._deadlines)
        if scope["path"] == DEAD_LETTERS:
            return self._given_up(headers)
        batch, events = wire.decode(headers.get("content-type", ""), headers, body)
        if flight.events + len(events) > flight.max_events or flight.bytes + len(body) > flight.max_bytes:
            raise flight.overloaded()
        asked = [(self._proven(event), event.data) for event in events]
        flight.events += len(events)
        flight.bytes += len(body)
        try:
            replied = await self._answering(asked) if asked else []
        finally:
            flight.events -= len(events)
            flight.bytes -= len(body)
        if wants_reply(headers.get("prefer", "").encode("latin-1")):
            _check_final(replied)
        return self._written(asked, replied, batch, whole=not _wants_minimal(headers.get("prefer", "")))

    def _given_up(self, headers: Mapping[str, str]) -> tuple[str, bytes]:
        """Nothing is done here, so nothing has to be proven: what was logged and not done is the relay's."""
        self._resources.counters.refuse("given-up", None)
        said = [headers.get(f"ce-{name}", "")[:200] for name in ("type", "id", "knativeerrordest", "knativeerrorcode")]
        log.warning("a broker gave up on a %s, event %s, for %s: %s", *said)
        return "", b""

    def _proven(self, event: wire.Event) -> Message:
        """The message of an event that is for this stage and proven. Raises Malformed, Unauthenticated."""
        if event.type != self._takes:
            raise Malformed(f"only events of type {self._takes} are taken here")
        message = wire.message_of(event)
        wire.check(self._keys, event, message)
        return message

    def _written(self, asked: Sequence[Asked], replied: Answers, batch: bool, whole: bool) -> tuple[str, bytes]:
        encoded: list[bytes] = []
        for (message, was), reply in zip(asked, replied, strict=True):
            if reply is None:
                continue
            type, said = reply
            told = msgspec.structs.replace(said, message=was.message if whole else None)
            encoded.append(wire.encode(wire.signed(self._keys[0], type, self._source, told, message)))
        if not encoded and not batch:
            return "", b""
        return (wire.BATCH, b"[" + b",".join(encoded) + b"]") if batch else wire.joined(encoded)


def _wants_minimal(prefer: str) -> bool:
    """Whether the caller has the messages already (RFC 7240, 4.2)."""
    return "return=minimal" in prefer.replace(" ", "").lower().split(",")


def _check_final(replied: Answers) -> None:
    """A broker would take an event that says `lost` for the end of it. Raises Unavailable, so that it tries again."""
    for reply in replied:
        for made in reply[1].deliveries if reply is not None else ():
            if made.lost is not None:
                raise Unavailable(f"backbone {made.backbone} did not answer: retry with the same id", retry_after_ms=1000)
