"""The store of config in memory: the twin of shared/adapters/postgres, for unit tests."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

from shared.domain.errors import NotFound
from shared.domain.principal import Principal
from shared.domain.record import Audit
from shared.domain.snapshot import Snapshot
from shared.domain.uuid7 import uuid7


class _Key(NamedTuple):
    org: str
    name: str
    hash: bytes
    created: datetime


class MemoryConfigStore:
    """ConfigStore that forgets everything with its process."""

    def __init__(self, home: str = "local") -> None:
        self.audits: list[Audit] = []
        self._home = home
        self._revision = 1
        self._principals: dict[tuple[str, str], Principal] = {}
        self._keys: dict[str, _Key] = {}
        self._changed = asyncio.Condition()

    async def snapshot(self) -> Snapshot:
        keys = {key.hash: self._principals[key.org, key.name] for key in self._keys.values()}
        return Snapshot(self._revision, keys, self._home)

    async def changes(self) -> AsyncIterator[Snapshot]:
        """The snapshot in force, then each new one."""
        seen = -1
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda known=seen: self._revision != known)  # type: ignore[misc]  # bound now, not later
            found = await self.snapshot()
            seen = found.revision
            yield found

    async def put_principal(self, principal: Principal, author: str, reason: str = "") -> int:
        self._principals[principal.org, principal.name] = principal
        return await self._change(principal.org, author, "principal.put", f"principals/{principal.name}")

    async def principal(self, org: str, name: str) -> Principal | None:
        return self._principals.get((org, name))

    async def principals(self, org: str) -> list[Principal]:
        return sorted((principal for principal in self._principals.values() if principal.org == org), key=lambda principal: principal.name)

    async def delete_principal(self, org: str, name: str, author: str, reason: str = "") -> bool:
        if self._principals.pop((org, name), None) is None:
            return False
        self._keys = {key_id: key for key_id, key in self._keys.items() if (key.org, key.name) != (org, name)}
        await self._change(org, author, "principal.delete", f"principals/{name}")
        return True

    async def create_key(self, org: str, name: str, author: str) -> tuple[str, str]:
        """Raises NotFound where there is no such principal."""
        if (org, name) not in self._principals:
            raise NotFound(f"there is no principal {name}")
        key_id, key = f"k_{secrets.token_hex(6)}", f"sb_{secrets.token_urlsafe(32)}"
        self._keys[key_id] = _Key(org, name, sha256(key.encode()).digest(), datetime.now(UTC))
        await self._change(org, author, "key.create", f"principals/{name}/keys/{key_id}")
        return key_id, key

    async def keys(self, org: str, name: str | None = None) -> list[dict[str, str]]:
        """`id`, `principal` and `created` (RFC 3339) of each, oldest first."""
        return [
            {"id": key_id, "principal": key.name, "created": f"{key.created:%Y-%m-%dT%H:%M:%SZ}"}
            for key_id, key in self._keys.items()
            if key.org == org and name in (None, key.name)
        ]

    async def delete_key(self, org: str, name: str, key_id: str, author: str) -> bool:
        key = self._keys.get(key_id)
        if key is None or (key.org, key.name) != (org, name):
            return False
        del self._keys[key_id]
        await self._change(org, author, "key.delete", f"principals/{name}/keys/{key_id}")
        return True

    async def _change(self, org: str, author: str, action: str, path: str) -> int:
        self._revision += 1
        now = int(datetime.now(UTC).timestamp() * 1_000_000)
        self.audits.append(Audit(uuid7(), org, author, action, path, now, self._revision - 1, self._revision))
        async with self._changed:
            self._changed.notify_all()
        return self._revision
