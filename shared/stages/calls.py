"""Calls to one stage's Service: kept connections, a deadline on the whole call, and no second try but where that can't pass a later
call."""

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import httpx
import msgspec

from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.message import Message
from shared.stages import events as wire
from shared.stages.tls import trusted

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for every call

# Calls at once to one Service, a connection each. Others wait for their turn within their deadline, and not in httpx's pool: that looks at
# each of its connections for each that waits, whenever one is done.
IN_FLIGHT = 64
KEPT_S = 15.0  # an idle connection: less than the 30 s after which our servers close theirs
HEADERS = {"prefer": "return=minimal"}
PASSING = (502, 503, 504)  # what a Service answers while its pods change


class Calls:
    """The way to one Service. `name` is the function's; `seconds` what a call may take.

    `pauses`: a stage without effects is asked again after each of these seconds, where the connection broke or its pods change.
    `transport` is httpx's own unless given; `verify` says which certificates are trusted, if not those of shared/stages/tls.py.
    """

    def __init__(
        self,
        name: str,
        url: str,
        seconds: float,
        pauses: Sequence[float] = (),
        transport: httpx.AsyncBaseTransport | None = None,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._name, self._url, self._seconds, self._pauses = name, url, seconds, pauses
        limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT, keepalive_expiry=KEPT_S)
        # No proxies from the environment: the other end is in the cluster, or the hub.
        trusting = trusted(url) if verify is None else verify
        self._client = httpx.AsyncClient(
            timeout=seconds, limits=limits, transport=transport, verify=trusting, trust_env=False, follow_redirects=False
        )
        self._turn = asyncio.Semaphore(IN_FLIGHT)
        self._failing = False

    async def close(self) -> None:
        await self._client.aclose()

    def reachable(self) -> bool:
        """Whether the last call was answered."""
        return not self._failing

    async def post(self, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """The answer, whatever its status. Raises Unavailable where there is none in time."""
        try:
            async with asyncio.timeout(self._seconds):
                for pause in self._pauses:
                    try:
                        response = await self._send(content, headers)
                        if response.status_code not in PASSING:
                            return response
                    except httpx.TimeoutException:
                        raise
                    except httpx.TransportError:
                        pass  # asked again; the last try says what is wrong
                    await asyncio.sleep(pause)
                return await self._send(content, headers)
        except (httpx.HTTPError, TimeoutError) as error:
            raise self.failed(f"{type(error).__name__}: {error}".rstrip(": ")) from None

    async def _send(self, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        async with self._turn:
            return await self._client.post(self._url, content=content, headers=headers)

    def failed(self, why: str) -> Unavailable:
        """What to raise for a call that was no use; the first one in a row is logged."""
        if not self._failing:
            self._failing = True
            log.warning("%s can't be used: %s", self._name, why)
        return Unavailable(f"{self._name} did not answer; retry with the same id", retry_after_ms=1000)

    def worked(self) -> None:
        """The last call was of use."""
        if self._failing:
            self._failing = False
            log.warning("%s can be used again", self._name)


class Question(NamedTuple):
    """An event to a stage: what it says, of which message, and its bytes."""

    said: wire.Said
    message: Message
    encoded: bytes

    @property
    def size(self) -> int:
        return len(self.encoded)


class EventCalls:
    """A stage as its caller sees it: events to `calls`, an answer of type `emits` for each, everything under proofs.

    `keys` are the install's secrets: the first signs, all verify.
    """

    def __init__(self, calls: Calls, keys: Sequence[bytes], source: str, asks: str, emits: Sequence[str]) -> None:
        self._calls, self._keys, self._source, self._asks, self._emits = calls, keys, source, asks, frozenset(emits)

    async def close(self) -> None:
        await self._calls.close()

    def reachable(self) -> bool:
        """Whether the last call was answered."""
        return self._calls.reachable()

    def question(self, said: wire.Said, message: Message) -> Question:
        """An event to ask with, signed. Raises UnicodeEncodeError for text that JSON can't carry."""
        return Question(said, message, wire.encode(wire.signed(self._keys[0], self._asks, self._source, said, message)))

    async def ask(self, questions: Sequence[Question]) -> list[wire.Event]:
        """The answer to each, in order. Raises Unavailable for anything but whole, proven answers to these very questions."""
        content_type, body = wire.joined([question.encoded for question in questions])
        response = await self._calls.post(body, {**HEADERS, "content-type": content_type})
        if response.status_code != 200:
            raise self._calls.failed(f"it answered {response.status_code}: {response.text[:200]}")
        try:
            answers = wire.decode_answer(response.headers.get("content-type", ""), response.content)
            if len(answers) != len(questions):
                raise SwitchboardError(f"it answered {len(answers)} events to {len(questions)}")
            for answer, question in zip(answers, questions, strict=True):
                self._check(answer, question)
        except (msgspec.DecodeError, UnicodeDecodeError, SwitchboardError) as error:
            why = error.detail if isinstance(error, SwitchboardError) else str(error)
            raise self._calls.failed(f"its answer can't be trusted: {why}") from None
        self._calls.worked()
        return answers

    def _check(self, answer: wire.Event, question: Question) -> None:
        """Raises SwitchboardError unless it is an answer to the question: what was asked comes back in it, under its proof."""
        if answer.type not in self._emits:
            raise SwitchboardError(f"it answered with a {answer.type}")
        wire.check(self._keys, answer, question.message)
        asked = msgspec.structs.replace(question.said, message=None)
        if msgspec.structs.replace(answer.data, message=None, refusal=None, deliveries=(), shadows=()) != asked:
            raise SwitchboardError("it answered another question")
