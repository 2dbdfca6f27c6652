"""Issuers of tokens in PostgreSQL: versions of a kind of their own, and nothing beside them."""

from typing import Any

from shared.adapters.postgres.config_rows import ConfigRows, Entry
from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.statements import statement
from shared.domain.issuers import check_apart, check_issuer, issuer_text, read_issuer
from shared.domain.token_issuer import Issuer

ISSUERS, KEEP_ISSUER = statement("issuers"), statement("keep_issuer")


class IssuerRows(ConfigRows):
    """The part of ConfigStore that is about issuers."""

    async def issuers(self) -> dict[str, tuple[Issuer, int]]:
        return _by_name(await self._fetch(ISSUERS, {}))

    async def put_issuer(self, issuer: Issuer, org: str, author: str, reason: str = "", expected: int | None = None) -> int:
        path = f"issuers/{issuer.name}"

        async def work(connection: Connection, revision: int) -> bool:
            found = await _now(connection)
            check_issuer(issuer.name, _revision(found, issuer.name), expected)
            check_apart(issuer, {name: other for name, (other, _) in found.items()})
            await connection.execute(KEEP_ISSUER, {"path": path, "value": issuer_text(issuer).decode()})
            return True

        return await self._change(Entry(org, author, "issuer.put", path, reason), work) or 0

    async def delete_issuer(self, name: str, org: str, author: str, reason: str = "", expected: int | None = None) -> bool:
        path = f"issuers/{name}"

        async def work(connection: Connection, revision: int) -> bool:
            found = await _now(connection)
            check_issuer(name, _revision(found, name), expected)
            if name in found:
                await connection.execute(KEEP_ISSUER, {"path": path, "value": None})
            return name in found

        return await self._change(Entry(org, author, "issuer.delete", path, reason), work) is not None


async def _now(connection: Connection) -> dict[str, tuple[Issuer, int]]:
    """What there is in the transaction, which has the lock: nobody else writes meanwhile."""
    return _by_name(await (await connection.execute(ISSUERS, {})).fetchall())


def _by_name(rows: list[tuple[Any, ...]]) -> dict[str, tuple[Issuer, int]]:
    found = [(read_issuer(value.encode()), revision) for value, revision in rows]
    return {issuer.name: (issuer, revision) for issuer, revision in found}


def _revision(found: dict[str, tuple[Issuer, int]], name: str) -> int | None:
    return found[name][1] if name in found else None
