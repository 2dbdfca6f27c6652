"""The store of config: principals, API keys, documents, orgs, issuers, and the revision that numbers config states."""

import asyncio
import contextlib
import logging
from base64 import b64decode
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import msgspec
import psycopg

from shared.adapters.postgres.config_documents import DocumentRows
from shared.adapters.postgres.config_issuers import IssuerRows
from shared.adapters.postgres.config_orgs import OrgRows
from shared.adapters.postgres.config_principals import PrincipalRows
from shared.adapters.postgres.config_rows import SESSION
from shared.adapters.postgres.config_sessions import SessionRows
from shared.adapters.postgres.connections import Connection, connect
from shared.adapters.postgres.statements import statement
from shared.domain.errors import NotFound
from shared.domain.issuers import read_issuer
from shared.domain.principal import Grant, Principal
from shared.domain.registry.deciding import Kept, Place
from shared.domain.registry.reach import reaches
from shared.domain.registry.shapes import decode
from shared.domain.sessions import named_by
from shared.domain.snapshot import Snapshot, standing
from shared.domain.token_issuer import Issuer

SNAPSHOT, REVISION, KEPT_REVISION = statement("snapshot"), statement("revision"), statement("kept_revision")

POLL = 0.5  # seconds between two looks at the revision, where nobody tells of a change
LEAST = 0.1  # and where somebody does: many changes make few snapshots
LISTEN = b"LISTEN switchboard_config"
PATIENCE = 5.0  # seconds for one look

log = logging.getLogger(__name__)


class _Kept(msgspec.Struct):
    """A principal as config_versions has it."""

    grants: tuple[Grant, ...]
    system: bool


_kept = msgspec.json.Decoder(_Kept).decode


class PostgresConfigStore(PrincipalRows, DocumentRows, OrgRows, IssuerRows, SessionRows):
    """ConfigStore on PostgreSQL. `home` is the backbone of this `cluster`: its snapshots name both."""

    def __init__(self, database_url: str, home: str = "local", cluster: str = "local") -> None:
        super().__init__(database_url)
        self._home = home
        self._cluster = cluster
        self._reached = True

    async def start(self) -> None:
        """Nothing: connections are made when they are needed, and a store that is down now may be up then."""

    async def stop(self) -> None:
        """Let go of the connections."""
        await self._connections.close()

    def reachable(self) -> bool:
        """Whether the store answered when changes() last looked."""
        return self._reached

    async def snapshot(self, revision: int | None = None) -> Snapshot:
        """Raises NotFound for a revision that isn't there yet, and for one whose state ended over a day ago."""
        if revision is not None and (await self._fetch(KEPT_REVISION, {"revision": revision})) != [(True,)]:
            raise NotFound(f"the state of config revision {revision} isn't known: it is to come, or ended over a day ago")
        return await self._connections.run(lambda connection: self._read(connection, revision))

    async def changes(self) -> AsyncIterator[Snapshot]:
        """The snapshot in force, then each new one. Polls over a connection of its own, and makes another when that is lost. A change is
        told of as it commits (NOTIFY), which spares the wait for the next look; behind a pooler that drops that, the look counts."""
        seen: int | None = None
        connection: Connection | None = None
        try:
            while True:
                found: Snapshot | None = None
                try:
                    async with asyncio.timeout(PATIENCE):
                        connection = connection or await self._listening()
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
                await _until_told(connection)
        finally:
            await _close(connection)

    async def _listening(self) -> Connection:
        connection = await connect(self._database_url, SESSION, "switchboard-config-changes")
        try:
            await connection.execute(LISTEN)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _read(self, connection: Connection, revision: int | None = None) -> Snapshot:
        cursor = await connection.execute(SNAPSHOT, {"revision": revision})
        return _snapshot(await cursor.fetchall(), self._home, self._cluster)

    async def _newer(self, connection: Connection, seen: int | None) -> Snapshot | None:
        [[revision]] = await (await connection.execute(REVISION)).fetchall()
        return None if revision == seen else await self._read(connection)


async def _until_told(connection: Connection | None) -> None:
    """Return once somebody told of a change, or when it is time to look anyway."""
    await asyncio.sleep(LEAST)
    if connection is None:
        await asyncio.sleep(POLL - LEAST)
        return
    with contextlib.suppress(psycopg.Error):  # the next look finds that it is lost
        async for _ in connection.notifies(timeout=POLL - LEAST, stop_after=1):
            pass


async def _close(connection: Connection | None) -> None:
    if connection is not None:
        await connection.close()


def _snapshot(rows: Iterable[Sequence[Any]], home: str, cluster: str) -> Snapshot:
    """The snapshot of rows (revision, kind, org, path, value), in whatever order."""
    number = 0
    documents: dict[str, dict[str, bytes]] = {}
    principals: dict[tuple[str, str], Principal] = {}
    hashes: list[tuple[bytes, str, str]] = []
    issuers: dict[str, Issuer] = {}
    registered: dict[Place, Kept] = {}
    ended: dict[bytes, int] = {}
    sealed: dict[str, bytes] = {}
    for revision, kind, org, path, value in rows:
        number = revision
        if kind == "document":
            documents.setdefault(org, {})[path] = value.encode()
        elif kind == "principal":
            principals[org, path] = _principal(org, path, value)
        elif kind == "key":
            hashes.append((bytes.fromhex(value), org, path.partition("/keys/")[0]))
        elif kind == "issuer":
            issuers[path] = read_issuer(value.encode())
        elif kind == "session":
            ended[named_by(path)] = int(value)
        elif kind == "backbone_keys":
            sealed[path] = b64decode(value)
        elif kind is not None:
            registered[org, path] = Kept(decode(kind, value), revision, "")
    orgs, doors = standing(principals.values())
    keys = {key: principals[org, path] for key, org, path in hashes}
    keyed = {(org, path) for _, org, path in hashes}
    keyless = tuple(principal for place, principal in sorted(principals.items()) if place not in keyed)
    trusted = tuple(issuer for _, issuer in sorted(issuers.items()))
    return Snapshot(number, keys, home, documents, orgs, doors, trusted, keyless, reaches(registered, sealed), cluster, ended)


def _principal(org: str, path: str, value: str) -> Principal:
    kept = _kept(value)
    return Principal(path.partition("/")[2], org, kept.grants, kept.system)
