"""Credentials of agents in PostgreSQL, beside the config and under the same lock."""

from typing import Any

import msgspec

from shared.adapters.postgres.config_rows import ConfigRows, Entry, check_open
from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.statements import statement
from shared.domain.principal import Grant
from shared.domain.registry.agents import Credential, check_given

KEYS, KEEP_KEYS = statement("backbone_keys"), statement("keep_backbone_keys")
ISSUE = statement("issue_account_token")
GIVEN, GIVE, REVOKE = statement("credentials"), statement("give_credential"), statement("revoke_credential")

_grants = msgspec.json.Decoder(tuple[Grant, ...]).decode


class PostgresCredentials(ConfigRows):
    """Credentials on PostgreSQL."""

    async def start(self) -> None:
        """Nothing: connections are made when they are needed."""

    async def stop(self) -> None:
        """Let go of the connections."""
        await self._connections.close()

    async def keys(self, backbone: str) -> bytes | None:
        rows = await self._fetch(KEYS, {"backbone": backbone})
        return bytes(rows[0][0]) if rows else None

    async def keep_keys(self, backbone: str, sealed: bytes, before: bytes | None) -> bool:
        async def work(connection: Connection) -> bool:
            values = {"backbone": backbone, "sealed": sealed, "before": before}
            return (await connection.execute(KEEP_KEYS, values)).rowcount > 0

        return await self._connections.run(work, repeatable=False)

    async def issue(self, backbone: str, now: int) -> int | None:
        rows = await self._fetch(ISSUE, {"backbone": backbone, "now": now})  # tried twice a number is left out: none is given twice
        return int(rows[0][0]) if rows else None

    async def given(self, org: str | None = None, backbone: str | None = None) -> list[Credential]:
        return [_credential(row) for row in await self._fetch(GIVEN, {"org": org, "backbone": backbone})]

    async def give(self, wanted: Credential, reason: str = "") -> int:
        async def work(connection: Connection, revision: int) -> bool:
            await check_open(connection, wanted.org)
            rows = await (await connection.execute(GIVEN, {"org": wanted.org, "backbone": wanted.backbone})).fetchall()
            check_given(wanted, map(_credential, rows), wanted.created)
            values = msgspec.structs.asdict(wanted)
            values |= {"grants": msgspec.json.encode(wanted.grants).decode(), "consumers": list(wanted.consumers)}
            await connection.execute(GIVE, values)
            return True

        entry = Entry(wanted.org, wanted.author, "credential.create", _path(wanted), reason)
        return await self._change(entry, work) or 0

    async def revoke(self, credential: Credential, author: str, why: str) -> bool:
        async def work(connection: Connection, revision: int) -> bool:
            return (await connection.execute(REVOKE, {"id": credential.id, "why": why})).rowcount > 0

        entry = Entry(credential.org, author, "credential.revoke", _path(credential), why)
        return await self._change(entry, work) is not None


def _path(credential: Credential) -> str:
    return f"backbones/{credential.backbone}/credentials/{credential.id}"


def _credential(row: Any) -> Credential:
    id, backbone, org, principal, key, grants, consumers, *rest = row
    return Credential(id, backbone, org, principal, key, _grants(grants), tuple(consumers), *rest)
