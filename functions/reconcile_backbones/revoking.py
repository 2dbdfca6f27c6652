"""Credentials that hold no longer: noted when their principal is gone or lost grants, and refused by the servers from then on.

Level-triggered: what the store says is compared with what the servers were told last, on each change of config and every second.
"""

import logging
from collections.abc import Collection, Sequence

from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.registry.agents import Credential, lost_by, revocations
from shared.domain.snapshot import Snapshot
from shared.ports import Accounts, Credentials, Trusts

AUTHOR = "reconcile-backbones"
SETTLES_S = 3  # seconds: a snapshot may be older than new credentials, and not have their principal yet

log = logging.getLogger(__name__)


class Revoking:
    """What a process does of it: for the backbones that it looks after."""

    def __init__(self, store: Credentials, trusts: Trusts, accounts: Accounts) -> None:
        self._store, self._trusts, self._accounts = store, trusts, accounts
        self._told: dict[str, dict[str, int]] = {}  # by backbone: what its servers were told, over a connection that lasts
        self._complained: dict[str, str] = {}

    async def step(self, snapshot: Snapshot, ours: Collection[str], now: int) -> None:
        """Look once. Never raises for what may go wrong with a backbone, or the store."""
        try:
            known = [await self._judged(one, snapshot, now) for one in await self._store.given() if one.backbone in ours]
        except Unavailable as error:
            self._complain("", error.detail)
            return
        self._complain("", "")
        for id in [id for id in self._told if id not in ours]:
            del self._told[id]
            await self._accounts.let_go(id)
        for id in sorted({one.backbone for one in known if one.revoked is not None}):
            await self._tell(id, [one for one in known if one.backbone == id], snapshot, now)

    async def _judged(self, one: Credential, snapshot: Snapshot, now: int) -> Credential:
        """It as it is from now on: revoked where its principal is not what it was."""
        why = lost_by(one, snapshot.principal_named(one.org, one.principal)) if one.live(now) else ""
        if not why or one.created >= now - SETTLES_S:
            return one
        await self._store.revoke(one, AUTHOR, why)
        return next((other for other in await self._store.given(one.org, one.backbone) if other.id == one.id), one)

    async def _tell(self, id: str, known: Sequence[Credential], snapshot: Snapshot, now: int) -> None:
        """Tell its servers, where they don't know all of it."""
        wanted = dict(revocations(known, now))
        reach = snapshot.reach(id)
        if reach is None or not reach.endpoint or (self._told.get(id) == wanted and self._accounts.is_connected(id)):
            return
        try:
            signed = await self._trusts.account(id, wanted, now)
            problem = "it has no keys any more" if signed is None else await self._accounts.tell(reach, *signed)
        except SwitchboardError as error:
            problem = error.detail
        if problem:
            self._told.pop(id, None)
        else:
            self._told[id] = wanted
        self._complain(id, problem)

    def _complain(self, id: str, problem: str) -> None:
        """Once for each reason."""
        if problem and self._complained.get(id) != problem:
            log.warning("revoked credentials%s: %s", f" of {id}: its servers can't be told" if id else " can't be read", problem)
        self._complained[id] = problem
