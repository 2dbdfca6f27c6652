"""The principals of tokens, as a process takes them: verified once, and then known until they expire or config or keys change."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from shared.domain.errors import Unauthenticated, Unavailable
from shared.domain.issuers import principal_of_claims
from shared.domain.principal import Principal
from shared.domain.snapshot import Snapshot
from shared.tokens.key_sources import KeySources
from shared.tokens.verifying import Refused, Verified, verify

LOOK_S = 5.0  # between two looks at how fresh the keys are
CACHED = 10_000  # tokens in use at once; one more, and the cache starts afresh


class Following(Protocol):
    """What follows the config: shared.snapshots.SnapshotFollower."""

    async def until(self, wanted: Callable[[int], bool], within: float) -> Snapshot: ...


class TokenPrincipal(NamedTuple):
    """Whose token it is. `expires` is what it says itself, `until` when it is over here, with the leeway: seconds since 1970."""

    principal: Principal
    expires: float
    until: float


class Tokens:
    """The tokens that a process takes. `refused` counts those that it doesn't, by reason: our own words, so there are few."""

    def __init__(self, keys: KeySources | None = None, clock: Callable[[], float] = time.time) -> None:
        self.keys = keys or KeySources()
        self.clock = clock
        self.refused: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._known: dict[bytes, TokenPrincipal] = {}
        self._of: tuple[Snapshot | None, int] = (None, 0)  # the snapshot and the keys that they were verified under

    def known(self, authorization: bytes, snapshot: Snapshot) -> TokenPrincipal | None:
        """Whose header that is, where its token was verified under this very snapshot and these keys, and goes on."""
        of, generation = self._of
        if of is not snapshot or generation != self.keys.generation:  # what a key verified that is gone isn't verified any more
            self._of, self._known = (snapshot, self.keys.generation), {}
            return None
        found = self._known.get(authorization)
        return found if found is not None and self.clock() < found.until else None

    def take(self, authorization: bytes, token: str, snapshot: Snapshot) -> TokenPrincipal:
        """Whose token it is, known from now on by the whole header. Raises as principal()."""
        found = self.principal(token, snapshot)
        if len(self._known) >= CACHED:
            self._known.clear()
        of, generation = self._of
        if of is snapshot and generation == self.keys.generation:
            self._known[authorization] = found
        return found

    def principal(self, token: str, snapshot: Snapshot) -> TokenPrincipal:
        """Whose token it is under the snapshot. Raises Unauthenticated; Unavailable while its issuer's keys are not to be had."""
        try:
            found: Verified = verify(token, snapshot.issuers, self.keys.keys_of, self.clock())
            return TokenPrincipal(principal_of_claims(found.issuer, found.claims, snapshot), found.expires, found.until)
        except Refused as error:
            self._count(error.reason)
            raise
        except Unauthenticated:
            self._count("claims")
            raise
        except Unavailable:
            self._count("unknown")
            raise

    def _count(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def start(self, snapshots: Following) -> None:
        """Have the keys of the issuers in force at hand from now on, before the first token comes."""
        self._task = asyncio.create_task(self._follow(snapshots), name="follow the issuers' keys")

    async def stop(self) -> None:
        """Ask nobody any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self.keys.close()

    async def _follow(self, snapshots: Following) -> None:
        seen = -1
        while True:
            try:
                snapshot = await snapshots.until(lambda revision, known=seen: revision != known, LOOK_S)  # type: ignore[misc]
            except Unavailable:  # before the first
                await asyncio.sleep(0.2)
                continue
            self.keys.keep(snapshot.issuers)
            if snapshot.revision != seen:
                await asyncio.to_thread(self.keys.warm, snapshot.issuers)
            seen = snapshot.revision
