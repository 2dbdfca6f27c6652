"""Where issuers' keys come from: config itself, or a URL that is asked in the background and never more than once in PAUSE_S."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache

from shared.domain.errors import Malformed, SwitchboardError, Unavailable
from shared.domain.token_issuer import Issuer
from shared.tokens.fetching import fetch
from shared.tokens.key_set import KeySet, read_key_set
from shared.tokens.verifying import Refused

log = logging.getLogger(__name__)

PAUSE_S = 10.0  # between two fetches of one URL, whoever wants them: nobody makes us ask more by naming keys that aren't there
FRESH_S = 300.0  # then keys are fetched again: one that was withdrawn is good no longer

Fetch = Callable[[str], Awaitable[bytes]]
_inline = lru_cache(maxsize=256)(read_key_set)


class KeySources:
    """The keys of the issuers in force. One object a process; its methods are called in the event loop."""

    def __init__(self, fetch: Fetch = fetch, pause: float = PAUSE_S, fresh: float = FRESH_S) -> None:
        self._fetch, self._pause, self._fresh = fetch, pause, fresh
        self._sources: dict[str, _Source] = {}
        self.generation = 0  # another one: some key may be gone
        self.failures = 0

    def keys_of(self, issuer: Issuer, kid: str | None) -> KeySet:
        """The keys of an issuer, among which there is one named `kid` if the issuer has it.

        Raises Unavailable while that isn't known: keys are being fetched, or can't be; Refused where it was found not to be there.
        """
        if issuer.jwks is not None:
            return _inline(issuer.jwks.encode())
        source = self._source(issuer.jwks_url or "")
        if source.keys is None or not source.keys.knows(kid):
            now = asyncio.get_running_loop().time()
            if source.keys is not None and now - source.fetched < self._pause:
                raise Refused("key", "the token's signature is by no key of its issuer")
            self._refresh(source, now)
            left = 1.0 if source.task is not None else self._pause - (now - source.tried)
            detail = "the keys of the token's issuer are not to be had now; retry with the same id"
            raise Unavailable(detail, retry_after_ms=max(math.ceil(left * 1000), 1))
        return source.keys

    def keep(self, issuers: Iterable[Issuer]) -> None:
        """Have the keys of these issuers, and fresh; forget all others."""
        urls = {issuer.jwks_url for issuer in issuers if issuer.jwks_url is not None}
        for url in self._sources.keys() - urls:
            self._sources.pop(url).cancel()
        now = asyncio.get_running_loop().time()
        for url in urls:
            source = self._source(url)
            if source.keys is None or now - source.fetched >= self._fresh:
                self._refresh(source, now)

    @staticmethod
    def warm(issuers: Iterable[Issuer]) -> None:
        """Read the keys that config has itself, in a thread: the first one imports the library, and no request should wait for that."""
        for issuer in issuers:
            if issuer.jwks is not None:
                with contextlib.suppress(Malformed):  # config-crud let none of these in
                    _inline(issuer.jwks.encode())

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = [task for source in self._sources.values() if (task := source.task) is not None]
        for source in self._sources.values():
            source.cancel()
        self._sources.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _source(self, url: str) -> "_Source":
        return self._sources.setdefault(url, _Source(url))

    def _refresh(self, source: "_Source", now: float) -> None:
        if source.task is None and now - source.tried >= self._pause:
            source.tried = now
            source.task = asyncio.create_task(self._ask(source, now), name=f"fetch the keys at {source.url}")

    async def _ask(self, source: "_Source", started: float) -> None:
        """Fetch the keys; a failure leaves those that were there in force, and is logged when it is the first in a row."""
        try:
            keys = await asyncio.to_thread(read_key_set, await self._fetch(source.url))  # it imports the library
            if keys.private:
                raise Malformed("it holds a secret")
            source.keys, source.fetched = keys, started
            self.generation += 1
            if source.failing:
                log.warning("the keys at %s are to be had again", source.url)
            source.failing = False
        except SwitchboardError as error:
            self.failures += 1
            if not source.failing:
                log.warning("the keys at %s can't be had%s: %s", source.url, ", the last ones stay" if source.keys else "", error.detail)
            source.failing = True
        except Exception:
            self.failures += 1
            log.exception("fetching the keys at %s failed", source.url)
        finally:
            source.task = None


class _Source:
    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: KeySet | None = None
        self.fetched = -math.inf  # when the fetch that brought them began, by the loop's clock
        self.tried = -math.inf
        self.failing = False
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop is gone
            if self.task is not None:
                self.task.cancel()
