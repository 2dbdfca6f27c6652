"""Orgs in PostgreSQL."""

import msgspec

from shared.adapters.postgres.config_rows import ConfigRows, Entry
from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.keys import INSERT_KEY, PUT_PRINCIPAL, new_key
from shared.adapters.postgres.statements import statement
from shared.domain.principal import Principal
from shared.domain.retention import left_of
from shared.domain.revisions import NewOrg, OrgState, Stale

ORGS, PUT_ORG, END_ORG = (statement(name) for name in ("orgs", "put_org", "end_org"))
DELETE_PRINCIPALS, END_DOCUMENTS = statement("delete_principals"), statement("end_documents")
DOCUMENTS, KEEP_DOCUMENT = statement("documents"), statement("keep_document")


class OrgRows(ConfigRows):
    """The part of ConfigStore that is about orgs."""

    async def orgs(self, org: str | None = None) -> list[OrgState]:
        return [OrgState(*row) for row in await self._fetch(ORGS, {"org": org})]

    async def create_org(self, admin: Principal, author: str, reason: str = "", *, restore: bool = False) -> NewOrg:
        made = new_key()
        values = {
            "org": admin.org,
            "name": admin.name,
            "author": author,
            "id": made.id,
            "hash": made.hash,
            "grants": msgspec.json.encode(admin.grants).decode(),
            "system": False,
        }

        async def work(connection: Connection, revision: int) -> bool:
            found = await (await connection.execute(ORGS, values)).fetchall()
            if found and (found[0][2] is None or not restore):
                raise Stale(f"there is an org {admin.org} already", None)
            for query in (PUT_ORG, PUT_PRINCIPAL, INSERT_KEY):
                await connection.execute(query, values)
            return True

        revision = await self._change(Entry(admin.org, author, "org.create", f"orgs/{admin.org}", reason), work)
        return NewOrg(revision or 0, made.id, made.key)

    async def delete_org(self, org: str, author: str, reason: str = "") -> bool:
        async def work(connection: Connection, revision: int) -> bool:
            if (await connection.execute(END_ORG, {"org": org})).rowcount == 0:
                return False
            said = await (await connection.execute(DOCUMENTS, {"org": org, "path": "org", "revision": None})).fetchall()
            await connection.execute(END_DOCUMENTS, {"org": org})
            for _, text, _ in said:
                if (left := left_of(text.encode())) is not None:
                    await connection.execute(KEEP_DOCUMENT, {"org": org, "path": "org", "value": left.decode()})
            await connection.execute(DELETE_PRINCIPALS, {"org": org})
            return True

        return await self._change(Entry(org, author, "org.delete", f"orgs/{org}", reason), work, may_end_rule=True) is not None
