"""The way to a sink: with K_SINK set a source is a pure event source (contracts.md, "The four doors"; Knative's SinkBinding).

Each event is a POST in binary mode, as the CloudEvents SDK writes it, with K_CE_OVERRIDES laid over it, the OIDC token of the mounted
file, and the principal under a proof. A sink that presents a certificate of K_CA_CERTS is trusted as well as those of the system.
"""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import msgspec

from shared.codec.event import faults_of
from shared.codec.json_text import is_json
from shared.codec.sdk import to_binary_http
from shared.domain.errors import Misconfigured, NotProcessable
from shared.domain.message import Extension, Message, message_digest
from shared.domain.principal import Grant, Principal, grants_along
from shared.domain.sink_proof import grants_text, principal_text, prove_message
from shared.domain.verdict import Refusal
from shared.opened import Closing
from shared.resources import Resources
from shared.sources.outcomes import RETRY_MS, Done, Rejected, Retry, Settled, receipt_of

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for every call

SECONDS = 30.0  # an event: a sink that was scaled to zero has to start within it
ENDS_WITHIN = 10.0  # what is under way has when the process is to go: less than the 20 s that all of it has
IN_FLIGHT = 64  # events at once; of one source only one, so that their order holds
KEPT_S = 15.0  # an idle connection: less than the 30 s after which our servers close theirs
TOKEN = Path("/oidc/token")  # where Knative mounts the token of a source whose sink has an audience
RETRIED = frozenset((404, 408, 409, 429))  # and everything that is neither 2xx nor 4xx
SHOWN = 300  # characters of an answer that a reason repeats


class Sink:
    """POSTs events to `url`. The first of `keys` signs; `overrides` are extensions that every event is given; `ca_certs` is PEM.

    Raises Misconfigured for a URL or certificates that can't be read.
    """

    def __init__(
        self,
        url: str,
        keys: Sequence[bytes],
        *,
        overrides: Mapping[str, str] | None = None,
        ca_certs: str | None = None,
        token: Path = TOKEN,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url, self._keys, self._overrides = url_of(url), keys, dict(overrides or {})
        limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT, keepalive_expiry=KEPT_S)
        # No proxies from the environment: the other end is in the cluster.
        self._client = httpx.AsyncClient(
            timeout=SECONDS, limits=limits, transport=transport, trust_env=False, follow_redirects=False, verify=trusted(ca_certs)
        )
        self._token = Token(token)
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._failing = False
        self._ends = math.inf  # loop time after which nothing is sent
        self._limits: set[asyncio.Timeout] = set()  # of what is under way

    def finish(self, within: float = ENDS_WITHIN) -> None:
        """The process is to go: what has no answer in that time (seconds) is to be tried again, by whoever gets it next.

        A slow sink would otherwise hold it up for a call after the other, a group of an org's messages long.
        """
        self._ends = asyncio.get_running_loop().time() + within
        for limit in self._limits:
            limit.reschedule(min(limit.when() or math.inf, self._ends))

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.aclose()

    def reachable(self) -> bool:
        """Whether the last event was taken or refused for good."""
        return not self._failing

    async def send(self, message: Message, grants: Sequence[Grant] = ()) -> Settled:
        """What the sink made of the event: 2xx is done; 404, 408, 409, 429, 5xx and no answer are tried again; other 4xx are rejected.

        `grants` are those of a principal that config doesn't know.
        """
        if asyncio.get_running_loop().time() >= self._ends:
            return Retry(RETRY_MS)
        headers, body = self._request(message, grants)
        try:
            async with self._room, self._limit():
                response = await self._client.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            return self._later(f"{type(error).__name__}: {error}".rstrip(": "), RETRY_MS)
        if not response.is_success and (response.status_code in RETRIED or not response.is_client_error):
            return self._later(f"it answered {response.status_code}", _retry_after_ms(response.headers.get("retry-after")))
        if self._failing:
            self._failing = False
            log.warning("the sink can be used again")
        if response.is_success:
            return Done()
        reason = f"the sink answered {response.status_code}: {response.text[:SHOWN]}".rstrip(": ")
        return Rejected(reason, receipt_of(Refusal(NotProcessable(reason, rule="sink"), message.id, message.revision)))

    @asynccontextmanager
    async def _limit(self) -> AsyncIterator[None]:
        """Raises TimeoutError in the block when its time is over."""
        async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + SECONDS, self._ends)) as limit:
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)

    async def __call__(self, messages: Sequence[Message], principal: Principal) -> list[Settled]:
        """send() for each. Those of one CloudEvents source go one after the other, and none of them past one that is tried again."""
        sources: dict[str, list[int]] = {}
        for place, message in enumerate(messages):
            sources.setdefault(message.source, []).append(place)
        found: dict[int, Settled] = {}
        grants = grants_along(principal)

        async def one_by_one(places: Sequence[int]) -> None:
            held: Retry | None = None
            for place in places:
                result = held or await self.send(messages[place], grants)
                held = result if isinstance(result, Retry) else None
                found[place] = result

        await asyncio.gather(*map(one_by_one, sources.values()))
        return [found[place] for place in range(len(messages))]

    def _request(self, message: Message, grants: Sequence[Grant]) -> tuple[dict[str, str], bytes]:
        """Headers and body. The proof is of the event as it is sent: an override may give it another topic."""
        sent = overridden(message, self._overrides)
        along = grants_text(grants) if grants else None
        own: dict[str, Extension] = {
            "sbprincipal": principal_text(sent.org, sent.principal),
            "sbproof": prove_message(self._keys[0], sent, int(time.time()), along),
        }
        if along is not None:
            own["sbgrants"] = along
        headers, body = to_binary_http(msgspec.structs.replace(sent, extensions={**(sent.extensions or {}), **own}))
        if token := self._token.read():
            headers["authorization"] = f"Bearer {token}"
        return headers, body

    def _later(self, why: str, after_ms: int) -> Retry:
        if not self._failing:
            self._failing = True
            log.warning("the sink can't be used, and is tried again: %s", why)
        return Retry(after_ms)


async def open_sink(resources: Resources) -> Sink:
    """The process's sink by its settings. Raises Misconfigured, also where there is no secret to prove with."""
    settings = resources.settings

    async def make() -> tuple[Sink, Closing]:
        overrides = overrides_of(settings.ce_overrides)
        sink = Sink(settings.required("sink"), settings.secret_keys(), overrides=overrides, ca_certs=settings.ca_certs)
        return sink, sink.close

    return await resources.once("sink", make)


def url_of(text: str) -> httpx.URL:
    """Where to POST. Raises Misconfigured for what is no URL: each event would fail over it, and be rejected."""
    try:
        return httpx.Request("POST", text).url  # which looks at the host, too
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Misconfigured(f"K_SINK: can't be read as a URL: {error}") from error


class _Overrides(msgspec.Struct):
    """K_CE_OVERRIDES (Knative's SinkBinding, `ceOverrides`)."""

    extensions: dict[str, str] = {}


def overrides_of(text: str | None) -> dict[str, str]:
    """The extensions of a K_CE_OVERRIDES. Raises Misconfigured for what no event could be given."""
    try:
        found = msgspec.json.decode(text or "{}", type=_Overrides).extensions
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Misconfigured(f'K_CE_OVERRIDES: not `{{"extensions":{{"name":"value"}}}}`: {error}') from error
    standard = ("id", "source", "type", "specversion", "subject", "time", "datacontenttype", "dataschema")
    for name, value in found.items():
        faults = faults_of(name, value, name)
        if name in standard or faults:
            raise Misconfigured(f"K_CE_OVERRIDES: {name}: {faults[0].detail if faults else 'is no extension'}")
    return found


def overridden(message: Message, overrides: Mapping[str, str]) -> Message:
    """The message with these extensions; `topic` among them makes it another one's digest."""
    if not overrides:
        return message
    extensions = {**(message.extensions or {}), **{name: value for name, value in overrides.items() if name != "topic"}}
    topic = overrides.get("topic", message.topic)
    media = message.datacontenttype
    if media is None and message.body is not None and is_json(message.body):
        media = "application/json"
    digest = message_digest(message.type, message.subject, topic, media, message.dataschema, message.body)
    return msgspec.structs.replace(message, topic=topic, extensions=extensions or None, digest=digest)


class Token:
    """The OIDC token of a mounted file, read again when the kubelet has put another one there; None where there is no such file."""

    def __init__(self, path: Path = TOKEN) -> None:
        self._path = path
        self._seen: int | None = None
        self._text: str | None = None

    def read(self) -> str | None:
        """The token as it is now."""
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._seen:
                self._text, self._seen = self._path.read_text().strip() or None, changed
        except OSError:
            self._text = self._seen = None
        return self._text


def trusted(ca_certs: str | None) -> ssl.SSLContext:
    """The system's certificates, and these. Raises Misconfigured."""
    context = ssl.create_default_context()
    if ca_certs:
        try:
            context.load_verify_locations(cadata=ca_certs)
        except ssl.SSLError as error:
            raise Misconfigured(f"K_CA_CERTS: not certificates in PEM: {error.reason}") from error
    return context


def _retry_after_ms(text: str | None) -> int:
    """`Retry-After` (RFC 9110, 10.2.3), seconds or a date, in milliseconds."""
    if text is None:
        return RETRY_MS
    if text.isascii() and text.isdigit():
        return int(text[:6]) * 1000
    try:
        return max(0, int((parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)).total_seconds() * 1000))
    except (ValueError, OverflowError):  # the last hours of the year 9999
        return RETRY_MS
