"""Credentials of agents in memory: the twin of shared/adapters/postgres/credentials.py, for unit tests."""

import time

import msgspec

from shared.adapters.memory.config_state import State
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.domain.registry.agents import Credential, check_given


class MemoryCredentials:
    """Credentials beside a MemoryConfigStore."""

    def __init__(self, config: MemoryConfigStore) -> None:
        self._config = config
        self._keys = config.backbone_keys
        self._issued: dict[str, int] = {}
        self._given: dict[str, Credential] = {}

    async def keys(self, backbone: str) -> bytes | None:
        return self._keys.get(backbone)

    async def keep_keys(self, backbone: str, sealed: bytes, before: bytes | None) -> bool:
        if self._keys.get(backbone) != before:
            return False
        self._keys[backbone] = sealed
        return True

    async def issue(self, backbone: str, now: int) -> int | None:
        if backbone not in self._keys:
            return None
        self._issued[backbone] = max(self._issued.get(backbone, 0) + 1, now)
        return self._issued[backbone]

    async def given(self, org: str | None = None, backbone: str | None = None) -> list[Credential]:
        now = int(time.time())
        found = (one for one in self._given.values() if org in (None, one.org) and backbone in (None, one.backbone) and now < one.expires)
        return sorted(found, key=lambda one: (one.created, one.id))

    async def give(self, wanted: Credential, reason: str = "") -> int:
        self._config.check_open(wanted.org)
        check_given(wanted, await self.given(wanted.org, wanted.backbone), wanted.created)
        return await self._noted("credential.create", wanted, wanted.author, reason, wanted)

    async def revoke(self, credential: Credential, author: str, why: str) -> bool:
        known = self._given.get(credential.id)
        if known is None or known.revoked is not None:
            return False
        revoked = msgspec.structs.replace(known, revoked=int(time.time()), why=why)
        await self._noted("credential.revoke", credential, author, why, revoked)
        return True

    def forget(self, backbone: str) -> None:
        """It is gone, and what belonged to it with it."""
        self._keys.pop(backbone, None)
        self._issued.pop(backbone, None)
        self._given = {id: one for id, one in self._given.items() if one.backbone != backbone}

    async def _noted(self, action: str, credential: Credential, author: str, reason: str, becomes: Credential) -> int:
        def write(state: State, revision: int) -> None:
            self._given[credential.id] = becomes

        path = f"backbones/{credential.backbone}/credentials/{credential.id}"
        return await self._config.change(credential.org, author, action, path, reason, write)
