"""The store of config: principals, API keys, and the revision that numbers config states."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from shared.adapters.postgres.connections import Connection, Connections, connect
from shared.adapters.postgres.keys import INSERT_CHANGE, INSERT_KEY, NEXT_REVISION, PUT_PRINCIPAL, new_key
from shared.adapters.postgres.statements import statement
from shared.domain.errors import NotFound, SwitchboardError
from shared.domain.principal import Grant, Principal
from shared.domain.snapshot import Snapshot
from shared.domain.uuid7 import uuid7

SNAPSHOT, REVISION, PRINCIPALS = statement("snapshot"), statement("revision"), statement("principals")
DELETE_PRINCIPAL, KEYS, DELETE_KEY, SESSION = (statement(name) for name in ("delete_principal", "keys", "delete_key", "reader_session"))

POLL = 0.5  # seconds between two looks at the revision
PATIENCE = 5.0  # seconds for one look

log = logging.getLogger(__name__)
_grants = msgspec.json.Decoder(tuple[Grant, ...]).decode


class PostgresConfigStore:
    """ConfigStore on PostgreSQL. `home` is the backbone of this cluster, which its snapshots name."""

    def __init__(self, database_url: str, home: str = "local") -> None:
        self._database_url = database_url
        self._home = home
        self._connections = Connections(database_url, SESSION, "switchboard-config", size=4)
        self._reached = True

    async def start(self) -> None:
        """Nothing: connections are made when they are needed, and a store that is down now may be up then."""

    async def stop(self) -> None:
        """Let go of the connections."""
        await self._connections.close()

    def reachable(self) -> bool:
        """Whether the store answered when changes() last looked."""
        return self._reached

    async def snapshot(self) -> Snapshot:
        return await self._connections.run(self._read)

    async def changes(self) -> AsyncIterator[Snapshot]:
        """The snapshot in force, then each new one. Polls over a connection of its own, and makes another when that is lost."""
        seen: int | None = None
        connection: Connection | None = None
        try:
            while True:
                found: Snapshot | None = None
                try:
                    async with asyncio.timeout(PATIENCE):
                        connection = connection or await connect(self._database_url, SESSION, "switchboard-config-changes")
                        found = await self._newer(connection, seen)
                    self._reached = True
                except (psycopg.Error, OSError, TimeoutError) as error:
                    if self._reached:
                        log.warning("the config store can't be reached, and is tried again: %s", error)
                    self._reached = False
                    await _close(connection)
                    connection = None
                if found is not None:
                    seen = found.revision
                    yield found
                await asyncio.sleep(POLL)
        finally:
            await _close(connection)

    async def put_principal(self, principal: Principal, author: str, reason: str = "") -> int:
        values = {"grants": msgspec.json.encode(principal.grants).decode(), "system": principal.system}
        _, revision = await self._change(
            PUT_PRINCIPAL, principal.org, principal.name, author, "principal.put", f"principals/{principal.name}", values, reason
        )
        return revision

    async def principal(self, org: str, name: str) -> Principal | None:
        found = await self._fetch(PRINCIPALS, {"org": org, "name": name})
        return _principal(found[0]) if found else None

    async def principals(self, org: str) -> list[Principal]:
        return [_principal(row) for row in await self._fetch(PRINCIPALS, {"org": org, "name": None})]

    async def delete_principal(self, org: str, name: str, author: str, reason: str = "") -> bool:
        done, _ = await self._change(DELETE_PRINCIPAL, org, name, author, "principal.delete", f"principals/{name}", {}, reason)
        return done

    async def create_key(self, org: str, name: str, author: str) -> tuple[str, str]:
        """Raises NotFound where there is no such principal."""
        made = new_key()
        values = {"id": made.id, "hash": made.hash}
        try:
            await self._change(INSERT_KEY, org, name, author, "key.create", f"principals/{name}/keys/{made.id}", values)
        except _NoPrincipal as error:
            raise NotFound(f"there is no principal {name}") from error
        return made.id, made.key

    async def keys(self, org: str, name: str | None = None) -> list[dict[str, str]]:
        """`id`, `principal` and `created` (RFC 3339) of each, oldest first."""
        rows = await self._fetch(KEYS, {"org": org, "name": name})
        return [{"id": key_id, "principal": principal, "created": created} for key_id, principal, created in rows]

    async def delete_key(self, org: str, name: str, key_id: str, author: str) -> bool:
        done, _ = await self._change(DELETE_KEY, org, name, author, "key.delete", f"principals/{name}/keys/{key_id}", {"id": key_id})
        return done

    async def _change(
        self, query: bytes, org: str, name: str, author: str, action: str, path: str, values: dict[str, Any], reason: str = ""
    ) -> tuple[bool, int]:
        """Whether the statement found a row to change, and the new revision; with its audit row, in one transaction, or not at all."""

        async def work(connection: Connection) -> tuple[bool, int]:
            given = values | {"org": org, "name": name, "author": author, "action": action, "path": path, "reason": reason}
            async with connection.transaction() as transaction:
                [[revision]] = await (await connection.execute(NEXT_REVISION)).fetchall()
                try:
                    changed = await connection.execute(query, given)
                except psycopg.errors.ForeignKeyViolation as error:
                    raise _NoPrincipal(name) from error
                if changed.rowcount == 0:
                    raise psycopg.Rollback(transaction)
                await connection.execute(INSERT_CHANGE, given | {"record_id": UUID(bytes=uuid7()), "revision": revision})
                return True, revision
            return False, 0

        return await self._connections.run(work, repeatable=False)

    async def _read(self, connection: Connection) -> Snapshot:
        cursor = await connection.execute(SNAPSHOT, binary=True)
        return _snapshot(await cursor.fetchall(), self._home)

    async def _newer(self, connection: Connection, seen: int | None) -> Snapshot | None:
        [[revision]] = await (await connection.execute(REVISION)).fetchall()
        return None if revision == seen else await self._read(connection)

    async def _fetch(self, query: bytes, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(query, values)).fetchall()

        return await self._connections.run(work)


class _NoPrincipal(SwitchboardError):
    """The principal that a key is for isn't there: inside a transaction, which it ends."""


async def _close(connection: Connection | None) -> None:
    if connection is not None:
        await connection.close()


def _principal(row: Sequence[Any]) -> Principal:
    org, name, grants, system = row
    return Principal(name, org, _grants(grants), system)


def _snapshot(rows: Iterable[Sequence[Any]], home: str) -> Snapshot:
    revision, keys = 0, {}
    for number, key_hash, *principal in rows:
        revision = number
        if key_hash is not None:
            keys[key_hash] = _principal(principal)
    return Snapshot(revision, keys, home)
