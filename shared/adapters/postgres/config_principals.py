"""Principals and API keys in PostgreSQL."""

from typing import Any

import msgspec
import psycopg

from shared.adapters.postgres.config_rows import ConfigRows, Entry, check_open, principal_of
from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.keys import INSERT_KEY, NOTE_ORG, PUT_PRINCIPAL, new_key
from shared.adapters.postgres.statements import statement
from shared.domain.errors import NotFound
from shared.domain.principal import Principal
from shared.domain.revisions import Held, Stale, check_held

PRINCIPALS, DELETE_PRINCIPAL, KEYS, DELETE_KEY = (statement(name) for name in ("principals", "delete_principal", "keys", "delete_key"))
HELD_BY_ORG = statement("held_by_org")


class PrincipalRows(ConfigRows):
    """The part of ConfigStore that is about principals and keys."""

    async def put_principal(self, principal: Principal, author: str, reason: str = "", expected: int | None = None) -> int:
        values = {
            "org": principal.org,
            "name": principal.name,
            "grants": msgspec.json.encode(principal.grants).decode(),
            "system": principal.system,
        }

        async def work(connection: Connection, revision: int) -> bool:
            await check_open(connection, principal.org)
            await _check_expected(connection, principal.org, principal.name, expected)
            before = await _held(connection, principal.org)
            await connection.execute(NOTE_ORG, values)
            await connection.execute(PUT_PRINCIPAL, values)
            check_held(before, await _held(connection, principal.org))
            return True

        entry = Entry(principal.org, author, "principal.put", f"principals/{principal.name}", reason)
        return await self._change(entry, work, may_end_rule=True) or 0

    async def principal(self, org: str, name: str) -> Principal | None:
        found = await self.principal_version(org, name)
        return None if found is None else found[0]

    async def principal_version(self, org: str, name: str) -> tuple[Principal, int] | None:
        found = await self._fetch(PRINCIPALS, {"org": org, "name": name})
        return (principal_of(found[0]), found[0][4]) if found else None

    async def principals(self, org: str) -> list[Principal]:
        return [principal_of(row) for row in await self._fetch(PRINCIPALS, {"org": org, "name": None})]

    async def delete_principal(self, org: str, name: str, author: str, reason: str = "", expected: int | None = None) -> bool:
        async def work(connection: Connection, revision: int) -> bool:
            await _check_expected(connection, org, name, expected)
            return (await connection.execute(DELETE_PRINCIPAL, {"org": org, "name": name})).rowcount > 0

        entry = Entry(org, author, "principal.delete", f"principals/{name}", reason)
        return await self._change(entry, work, may_end_rule=True) is not None

    async def create_key(self, org: str, name: str, author: str, reason: str = "", expected: int | None = None) -> tuple[str, str]:
        """Raises NotFound where there is no such principal."""
        made = new_key()
        values = {"id": made.id, "hash": made.hash, "org": org, "name": name, "author": author}

        async def work(connection: Connection, revision: int) -> bool:
            await _check_expected(connection, org, name, expected)
            before = await _held(connection, org)
            try:
                await connection.execute(INSERT_KEY, values)
            except psycopg.errors.ForeignKeyViolation as error:
                raise NotFound(f"there is no principal {name}") from error
            check_held(before, await _held(connection, org))
            return True

        await self._change(Entry(org, author, "key.create", f"principals/{name}/keys/{made.id}", reason), work)
        return made.id, made.key

    async def keys(self, org: str, name: str | None = None) -> list[dict[str, str]]:
        """`id`, `principal` and `created` (RFC 3339) of each, oldest first."""
        rows = await self._fetch(KEYS, {"org": org, "name": name})
        return [{"id": key_id, "principal": principal, "created": created} for key_id, principal, created in rows]

    async def delete_key(self, org: str, name: str, key_id: str, author: str, reason: str = "") -> bool:
        values: dict[str, Any] = {"org": org, "name": name, "id": key_id}

        async def work(connection: Connection, revision: int) -> bool:
            return (await connection.execute(DELETE_KEY, values)).rowcount > 0

        entry = Entry(org, author, "key.delete", f"principals/{name}/keys/{key_id}", reason)
        return await self._change(entry, work, may_end_rule=True) is not None


async def _held(connection: Connection, org: str) -> Held:
    return Held(*(await (await connection.execute(HELD_BY_ORG, {"org": org})).fetchall())[0])


async def _check_expected(connection: Connection, org: str, name: str, expected: int | None) -> None:
    """Raise Stale unless the principal's revision is as expected: 0 for none at all, None for whatever it is."""
    if expected is None:
        return
    rows = await (await connection.execute(PRINCIPALS, {"org": org, "name": name})).fetchall()
    revision = rows[0][4] if rows else None
    if (revision or 0) != expected:
        raise Stale(f"the principal {name} is not as expected", revision)
