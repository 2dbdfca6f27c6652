"""Leases as rows, by the server's clock: what a reconciler holds is nobody else's until it gives it up, or is silent for too long."""

from collections.abc import Collection

from shared.adapters.postgres.config_rows import SESSION
from shared.adapters.postgres.connections import Connection, Connections
from shared.adapters.postgres.statements import statement

HOLD, RELEASE = statement("leases_hold"), statement("leases_release")


class PostgresLeases:
    """Leases on PostgreSQL. `holder` is this process, and no other ever."""

    def __init__(self, database_url: str, holder: str) -> None:
        self._holder = holder
        self._connections = Connections(database_url, SESSION, "switchboard-leases", size=1)

    async def start(self) -> None:
        """Nothing: connections are made when they are needed."""

    async def stop(self) -> None:
        """Let go of the connection; the leases stay until they end."""
        await self._connections.close()

    async def hold(self, names: Collection[str], seconds: float) -> set[str]:
        values = {"names": list(names), "holder": self._holder, "seconds": seconds}

        async def work(connection: Connection) -> set[str]:
            return {str(name) for (name,) in await (await connection.execute(HOLD, values)).fetchall()}

        return await self._connections.run(work)

    async def release(self, names: Collection[str]) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(RELEASE, {"names": list(names), "holder": self._holder})

        await self._connections.run(work)
