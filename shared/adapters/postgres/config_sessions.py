"""Sessions that were signed out, in PostgreSQL: versions of a kind of their own."""

from shared.adapters.postgres.config_rows import ConfigRows
from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.statements import statement
from shared.domain.sessions import Session, ending, key_path

KEY_ORG, ENDED_SESSIONS, KEEP_SESSION = (statement(name) for name in ("key_org", "ended_sessions", "keep_session"))


class SessionRows(ConfigRows):
    """The part of ConfigStore that is about sessions."""

    async def end_session(self, session: Session) -> None:
        """See ConfigSource."""

        async def work(connection: Connection, revision: int) -> bool:
            owner = await (await connection.execute(KEY_ORG, {"hash": session.key})).fetchone()
            if owner is None:
                return False
            values = {"org": owner[0], "key": key_path(session.key)}
            ended: dict[str, int] = dict(await (await connection.execute(ENDED_SESSIONS, values)).fetchall())
            changes = ending(ended, session)
            for path, expires in changes.items():
                value = None if expires is None else str(expires)
                await connection.execute(KEEP_SESSION, {"org": owner[0], "path": path, "value": value})
            return bool(changes)

        await self._change(None, work)
