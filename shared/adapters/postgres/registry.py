"""The registry in PostgreSQL: what is declared is config, kept as documents are; what was found and what happened is beside it."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from shared.adapters.postgres.config_rows import ConfigRows, Entry, check_open
from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.statements import statement
from shared.domain.registry.deciding import Change, Declared, Kept, Place, Written, decide
from shared.domain.registry.shapes import Event, Report, Status, decode, encode, kind_of

REGISTERED, KEEP, REPORT, FORGET = (statement(f"registry_{name}") for name in ("declared", "keep", "report", "forget"))
NOTE, EVENTS = statement("registry_note"), statement("registry_events")

_status = msgspec.json.Decoder(Status).decode


class PostgresRegistry(ConfigRows):
    """Registry on PostgreSQL, beside the config store and under the same lock."""

    async def start(self) -> None:
        """Nothing: connections are made when they are needed."""

    async def stop(self) -> None:
        """Let go of the connections."""
        await self._connections.close()

    async def registered(self, orgs: Collection[str] | None = None, path: str | None = None) -> dict[Place, Kept]:
        return _kept(await self._fetch(REGISTERED, {"orgs": None if orgs is None else list(orgs), "path": path}))

    async def write(self, change: Change, author: str, reason: str = "") -> Written:
        org, path = change.place
        found: Kept | None = None
        becomes: Declared | None = None

        async def work(connection: Connection, revision: int) -> bool:
            nonlocal found, becomes
            registered = _kept(await (await connection.execute(REGISTERED, {"orgs": None, "path": None})).fetchall())
            found = registered.get(change.place)
            if found is None:
                await check_open(connection, org)
            becomes = decide(change, registered)
            if found is not None and becomes == found.declared:
                return False
            value = None if becomes is None else encode(becomes).decode()
            await connection.execute(KEEP, {"kind": kind_of(change.declared), "org": org, "path": path, "value": value})
            if becomes is None:
                await connection.execute(FORGET, {"org": org, "path": path})
            await _note(connection, org, path, Event(0, 0, revision, author, change.action, reason, change.message))
            return True

        revision = await self._change(Entry(org, author, change.action, path, reason), work)
        if revision is None:
            assert found is not None
            return Written(found, found.revision, changed=False)
        kept = (await self.registered((org,), path)).get(change.place) if becomes is not None else None
        if becomes is not None and (kept is None or kept.revision != revision):  # changed again meanwhile: told as it was made here
            kept = Kept(becomes, revision, "" if kept is None else kept.since)
        return Written(kept, revision, created=found is None)

    async def report(self, org: str, path: str, status: Status, happened: Sequence[Event] = ()) -> bool:
        [declared] = await self.report_all([Report(org, path, status, happened)])
        return declared

    async def report_all(self, reports: Sequence[Report]) -> list[bool]:
        statuses = {(one.org, one.path): msgspec.json.encode(one.status).decode() for one in reports}
        columns = ([org for org, _ in statuses], [path for _, path in statuses], list(statuses.values()))
        values = dict(zip(("orgs", "paths", "statuses"), columns, strict=True))

        async def work(connection: Connection) -> list[bool]:
            async with connection.transaction():
                declared = set(await (await connection.execute(REPORT, values)).fetchall())
                for one in reports:
                    if (one.org, one.path) in declared:
                        for event in one.happened:
                            await _note(connection, one.org, one.path, event)
                return [(one.org, one.path) in declared for one in reports]

        return await self._connections.run(work, repeatable=False)

    async def events(self, org: str, path: str, limit: int, before: int | None = None) -> list[Event]:
        return [Event(*row) for row in await self._fetch(EVENTS, {"org": org, "path": path, "limit": limit, "before": before})]


async def _note(connection: Connection, org: str, path: str, event: Event) -> None:
    await connection.execute(NOTE, msgspec.structs.asdict(event) | {"org": org, "path": path})


def _kept(rows: Sequence[Sequence[Any]]) -> dict[Place, Kept]:
    return {
        (org, path): Kept(decode(kind, value), revision, since, None if status is None else _status(status))
        for kind, org, path, value, revision, since, status in rows
    }
