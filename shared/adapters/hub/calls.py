"""Calls to the hub: each under a proof of its own, with a deadline, over kept connections."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

import httpx

from shared.domain.errors import Unavailable
from shared.domain.request_proof import HEADER, body_digest, prove_request
from shared.stages.tls import trusted

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for every call

IN_FLIGHT = 16  # calls at once, a connection each; others wait for their turn within their deadline (shared/stages/calls.py)
KEPT_S = 15.0  # an idle connection: less than the 30 s after which our servers close theirs


class HubCalls:
    """The way to the hub at `url`. The first of `keys` proves that it is a process of the install that asks.

    `transport` is httpx's own unless given. Raises Misconfigured for certificates that can't be read.
    """

    def __init__(self, url: str, keys: Sequence[bytes], transport: httpx.AsyncBaseTransport | None = None) -> None:
        limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT, keepalive_expiry=KEPT_S)
        # No proxies from the environment, as between the stages; and no redirects, which would take the proof elsewhere.
        self._client = httpx.AsyncClient(limits=limits, transport=transport, verify=trusted(url), trust_env=False, follow_redirects=False)
        self._url, self._keys = url.rstrip("/"), keys
        self._turn = asyncio.Semaphore(IN_FLIGHT)
        self._failing = False

    async def start(self) -> None:
        """Nothing: connections are made when they are needed, and a hub that is down now may be up then."""

    async def stop(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    def reachable(self) -> bool:
        """Whether the last call was of use."""
        return not self._failing

    async def get(self, target: str, seconds: float, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The answer, whatever its status. Raises Unavailable where there is none within `seconds`."""
        return await self._call("GET", target, b"", seconds, headers or {})

    async def ask(self, path: str, body: bytes, seconds: float) -> bytes:
        """POST a question: the body of the answer 200. Raises Unavailable for everything else.

        The proof is of method and target, so the body's digest is in the target.
        """
        target = f"{path}?{body_digest(body)}"
        response = await self._call("POST", target, body, seconds, {"content-type": "application/vnd.msgpack"})
        if response.status_code != 200:
            raise self.failed(f"it answered {response.status_code} to {path}: {response.text[:200]}")
        self.worked()
        return response.content

    async def _call(self, method: str, target: str, body: bytes, seconds: float, headers: Mapping[str, str]) -> httpx.Response:
        proven = {**headers, HEADER: prove_request(self._keys[0], method, target, int(time.time()))}
        try:
            async with asyncio.timeout(seconds), self._turn:
                return await self._client.request(method, f"{self._url}{target}", content=body, headers=proven, timeout=seconds)
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise self.failed(f"{type(error).__name__}: {error}".rstrip(": ")) from None

    def failed(self, why: str) -> Unavailable:
        """What to raise for a call that was no use; the first one in a row is logged."""
        if not self._failing:
            self._failing = True
            log.warning("the hub can't be used: %s", why)
        return Unavailable("the hub did not answer; retry with the same id", retry_after_ms=1000)

    def worked(self) -> None:
        """The last call was of use."""
        if self._failing:
            self._failing = False
            log.warning("the hub can be used again")
