"""How config is read and changed in PostgreSQL: every change has a revision, a row that says who and why, and an audit row, or isn't.

A sign-out has a revision and no more: it changes nothing that anybody would look up.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg

from shared.adapters.postgres.connections import Connection, Connections
from shared.adapters.postgres.keys import INSERT_CHANGE, NEXT_REVISION
from shared.adapters.postgres.statements import statement
from shared.domain.authority import rules_all
from shared.domain.errors import NotProcessable
from shared.domain.principal import Grant, Principal
from shared.domain.revisions import LastAdmin
from shared.domain.uuid7 import uuid7

SESSION, RULING, ORGS = (statement(name) for name in ("reader_session", "ruling", "orgs"))
FORGET = statement("forget_keys"), statement("forget_sessions")

_grants = msgspec.json.Decoder(tuple[Grant, ...]).decode


class Entry(NamedTuple):
    """What revision and audit say of a change."""

    org: str
    author: str
    action: str
    path: str
    reason: str = ""


Work = Callable[[Connection, int], Awaitable[bool]]  # in the transaction, with the new revision; False: there was nothing to change


class ConfigRows:
    """The connections of the config store, and the frame of every change."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connections = Connections(database_url, SESSION, "switchboard-config", size=4)

    async def _fetch(self, query: bytes, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(query, values)).fetchall()

        return await self._connections.run(work)

    async def _change(self, entry: Entry | None, work: Work, *, may_end_rule: bool = False) -> int | None:
        """The new revision, None where there was nothing to change. Whatever `work` raises undoes it.

        From its first statement on the transaction has the row's lock: what it reads then is what it changes. Without `entry` it
        has no place in history and audit. `may_end_rule`: raises LastAdmin where no system admin would be left, and there was one.
        """

        async def changing(connection: Connection) -> int | None:
            async with connection.transaction() as transaction:
                [[revision]] = await (await connection.execute(NEXT_REVISION)).fetchall()
                ruled = may_end_rule and await _is_ruled(connection)
                if not await work(connection, revision):
                    raise psycopg.Rollback(transaction)
                if ruled and not await _is_ruled(connection):
                    raise LastAdmin
                if entry is not None:
                    given = entry._asdict() | {"record_id": UUID(bytes=uuid7()), "revision": revision}
                    await connection.execute(INSERT_CHANGE, given)
                for forget in FORGET:
                    await connection.execute(forget)
                return int(revision)
            return None

        return await self._connections.run(changing, repeatable=False)


def principal_of(row: Sequence[Any]) -> Principal:
    """The principal of a row that begins with org, name, grants and system."""
    org, name, grants, system = row[:4]
    return Principal(name, org, _grants(grants), system)


async def check_open(connection: Connection, org: str) -> None:
    """Raise NotProcessable where the org was deleted."""
    rows = await (await connection.execute(ORGS, {"org": org})).fetchall()
    if rows and rows[0][2] is not None:
        raise deleted(org)


def deleted(org: str) -> NotProcessable:
    """What a change of an org that was deleted is refused with."""
    return NotProcessable(f"the org {org} was deleted: what it left is kept until retention", rule="org")


async def _is_ruled(connection: Connection) -> bool:
    """Whether a system admin that may do everything can sign in."""
    return any(rules_all(principal_of(row)) for row in await (await connection.execute(RULING)).fetchall())
