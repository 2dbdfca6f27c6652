"""Who is let in no longer: credentials whose principal is gone or lost grants, and edges whose key the hub forgot.

Level-triggered: what the store and the folder of edges' keys say is compared with what the servers were told last, on each change of config
and every second. What they were told they are told again each minute: a server that was away, and came back with an old store, missed it.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from time import monotonic
from typing import NamedTuple

from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.registry.agents import Credential, lost_by, revocations
from shared.domain.registry.reach import Reach
from shared.domain.snapshot import Snapshot
from shared.pause import doubled
from shared.ports import Accounts, Credentials, Trusts

AUTHOR = "reconcile-backbones"
SETTLES_S = 3  # seconds: a snapshot may be older than new credentials, and not have their principal yet
STEP_S = 0.5  # seconds that a step waits for servers: those that don't answer keep nobody else waiting
AGAIN_S = 60.0  # seconds, after which servers are told again what they were told
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0  # after failures, doubled each time; what is news is told at once

NO_KEYS = "it has no keys any more"

log = logging.getLogger(__name__)


class Admitted(NamedTuple):
    """What a backbone's servers go by: whose tokens are good for nothing since when, by public key, and the own keys of edges that are let
    in."""

    revoked: dict[str, int]
    edges: frozenset[bytes] = frozenset()


class _Told(NamedTuple):
    """What a backbone's servers were told last, by which token, and when."""

    admitted: Admitted
    token: str
    at: float


class _Away(NamedTuple):
    """What a backbone's servers couldn't be told, and where: how often in a row, and until when it isn't tried again."""

    admitted: Admitted
    endpoint: str
    failures: int
    until: float


class Revoking:
    """What a process does of it: for the backbones that it looks after. `edges` gives the own keys that edges have now; None where no edge
    has one: then only servers that are to refuse somebody are told anything. `clock` gives seconds."""

    def __init__(
        self,
        store: Credentials,
        trusts: Trusts,
        accounts: Accounts,
        edges: Callable[[], Iterable[bytes]] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._store, self._trusts, self._accounts, self._edges, self._clock = store, trusts, accounts, edges, clock
        self._told: dict[str, _Told] = {}  # by backbone
        self._away: dict[str, _Away] = {}
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._complained: dict[str, str] = {}

    async def step(self, snapshot: Snapshot, ours: Collection[str], now: int) -> None:
        """Look once. Never raises for what may go wrong with a backbone, or the store."""
        try:
            known = [await self._judged(one, snapshot, now) for one in await self._store.given() if one.backbone in ours]
        except Unavailable as error:
            self._complain("", error.detail)
            return
        self._complain("", "")
        self._reap()  # who took longer than the step before: there may be news
        for id in [id for id in self._told.keys() | self._away.keys() if id not in ours]:
            self._told.pop(id, None)
            self._away.pop(id, None)
            await self._accounts.let_go(id)
        for id, wanted in self._wanted(known, snapshot, ours, now).items():
            reach = snapshot.reach(id)
            if reach is not None and reach.endpoint and id not in self._telling and self._is_due(reach, wanted):
                self._telling[id] = asyncio.create_task(self._tell(reach, wanted, now), name=f"telling {id} who is let in")
        await self._finish(STEP_S)

    async def stop(self) -> None:
        """Tell nobody any more."""
        for task in self._telling.values():
            task.cancel()
        await asyncio.gather(*self._telling.values(), return_exceptions=True)

    def _wanted(self, known: Sequence[Credential], snapshot: Snapshot, ours: Collection[str], now: int) -> dict[str, Admitted]:
        """What servers are to be told, by backbone. Where edges may have keys of their own, all that have keys are."""
        by_id: dict[str, list[Credential]] = {}
        for one in known:
            by_id.setdefault(one.backbone, []).append(one)
        told = {one.backbone for one in known if one.revoked is not None}
        edges: frozenset[bytes] = frozenset()
        if self._edges is not None:
            edges = frozenset(self._edges())
            told |= {one.id for one in snapshot.backbones if one.id in ours and one.keys and not one.deleting}
        return {id: Admitted(dict(revocations(by_id.get(id, ()), now)), edges) for id in sorted(told)}

    async def _judged(self, one: Credential, snapshot: Snapshot, now: int) -> Credential:
        """It as it is from now on: revoked where its principal is not what it was."""
        why = lost_by(one, snapshot.principal_named(one.org, one.principal)) if one.live(now) else ""
        if not why or one.created >= now - SETTLES_S:
            return one
        await self._store.revoke(one, AUTHOR, why)
        return next((other for other in await self._store.given(one.org, one.backbone) if other.id == one.id), one)

    def _is_due(self, reach: Reach, wanted: Admitted) -> bool:
        """Whether its servers are to be told now: they don't know, or it is time to tell them again, and it isn't waited with."""
        told, away = self._told.get(reach.id), self._away.get(reach.id)
        if away is not None and (away.admitted, away.endpoint) == (wanted, reach.endpoint):
            return self._clock() >= away.until
        knows = told is not None and told.admitted == wanted and self._clock() < told.at + AGAIN_S
        return not (knows and self._accounts.is_connected(reach))

    async def _finish(self, within: float) -> None:
        """Wait for those that are being told; who takes longer is told on."""
        if self._telling:
            await asyncio.wait(self._telling.values(), timeout=within)
        self._reap()

    def _reap(self) -> None:
        for id in [id for id, task in self._telling.items() if task.done()]:
            self._telling.pop(id).result()

    async def _tell(self, reach: Reach, wanted: Admitted, now: int) -> None:
        try:
            problem = await self._handed_over(reach, wanted, now)
        except SwitchboardError as error:
            problem = error.detail
        except Exception as error:  # whatever it is that somebody declared as a backbone, the others must be told, and this one again
            problem = f"the reconciler failed at it: {error!r}"
            log.debug("%s: the attempt to tell it failed", reach.id, exc_info=error)
        if problem:
            before = self._away.get(reach.id)
            failures = 1 if before is None or before.endpoint != reach.endpoint else before.failures + 1  # who has moved was never tried
            self._away[reach.id] = _Away(wanted, reach.endpoint, failures, self._clock() + _pause(failures))
        else:
            self._away.pop(reach.id, None)
        self._complain(reach.id, problem)

    async def _handed_over(self, reach: Reach, wanted: Admitted, now: int) -> str:
        """The servers are told; empty, or why they can't be. What they were told already is the very same token: to those that have it, it
        is no news. Nothing is signed for servers that aren't there. Raises SwitchboardError."""
        if not self._accounts.is_connected(reach):
            login = await self._trusts.system(reach.id, now)
            if problem := NO_KEYS if login is None else await self._accounts.connect(reach, login):
                return problem
        known = self._told.get(reach.id)
        token = known.token if known is not None and known.admitted == wanted else None
        if token is None:
            token = await self._trusts.account(reach.id, wanted.revoked, now, wanted.edges)
            self._told.pop(reach.id, None)  # some server may have the new one from now on, whatever comes of it: the one before is over
        if token is None:
            return NO_KEYS
        if problem := await self._accounts.tell(reach.id, token):
            return problem
        self._told[reach.id] = _Told(wanted, token, self._clock())
        return ""

    def _complain(self, id: str, problem: str) -> None:
        """Once for each reason."""
        if problem and self._complained.get(id) != problem:
            log.warning("%s: %s", f"{id}: its servers can't be told who is let in" if id else "revoked credentials can't be read", problem)
        self._complained[id] = problem


def _pause(failures: int) -> float:
    """Seconds until the next attempt."""
    return doubled(FIRST_PAUSE_S, LONGEST_PAUSE_S, failures) * random.uniform(0.8, 1.0)  # noqa: S311  # spread
