"""A dedicated connection: one caller, commands in one go, thrown away after any failure.

A cancelled call leaves replies behind that the next caller would take for its own, so the flusher and the logger never share one.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from shared.adapters.redis.address import address_of, connect
from shared.adapters.redis.resp import Connection, Refused
from shared.adapters.redis.scripts import Script
from shared.adapters.redis.told_settings import is_forbidden, told_settings
from shared.domain.errors import Misconfigured, Unavailable

Argument = bytes | str | int | float
log = logging.getLogger(__name__)

FOR_FSYNC = ("appendonly", "appendfsync")  # say nothing of a log that is in memory alone: servers without such files needn't tell them
SETTINGS = (*FOR_FSYNC, "maxmemory", "maxmemory-policy")
ELSEWHERE = frozenset(
    ("LOADING", "MASTERDOWN", "NOAUTH", "TRYAGAIN")
)  # replies of a server that can't be asked now: another may be there soon


class Link:
    """One connection to the log's Redis. Not for two callers at once. `deadline`: seconds for one round trip.

    With `durability` (`fsync` or `memory`) the server's settings are checked at every connect; `need` is what it must have room for.
    """

    def __init__(self, url: str, *, deadline: float = 5.0, durability: str | None = None, need: int = 0) -> None:
        self._url = url
        self._deadline = deadline
        self._durability = durability
        self._need = need
        self.skew = 0  # our clock minus Redis TIME, microseconds, as of the connection or what its owner noted since
        self._connection: Connection | None = None

    async def connect(self) -> Connection:
        """The connection, made now if there is none.

        Raises Unavailable, and Misconfigured where the log needs a durability (`fsync`) that the server isn't set to.
        """
        if self._connection is not None:
            return self._connection
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._deadline):
                connection = await connect(address_of(self._url), "switchboard")
                self.skew = await _skew(connection)
                if self._durability is not None:
                    await _check_settings(connection, self._durability == "fsync", self._need)
        except (Refused, OSError) as error:
            _close(connection)
            raise Unavailable(f"the log's Redis can't be reached: {_why(error)}") from error
        except BaseException:
            _close(connection)
            raise
        self._connection = connection
        return connection

    async def call(self, *commands: Sequence[Argument], deadline: float | None = None) -> list[Any]:
        """Send the commands in one go and read a reply each; an error reply is returned, not raised.

        Raises Unavailable when a reply is missing: then nobody knows what was done, and the connection is gone.
        """
        connection = await self.connect()
        try:
            async with asyncio.timeout(deadline or self._deadline):
                replies = await connection.ask(*commands)
            for reply in replies:
                if isinstance(reply, Refused) and reply.code in ELSEWHERE:
                    raise reply
            return replies
        except (Refused, OSError) as error:
            await self.close()
            raise Unavailable(f"the log's Redis did not answer: {_why(error)}") from error
        except BaseException:
            await self.close()
            raise

    async def one(self, *command: Argument, deadline: float | None = None) -> Any:
        """One command's reply. Raises Unavailable on an error reply too."""
        (reply,) = await self.call(command, deadline=deadline)
        if isinstance(reply, Refused):
            await self.close()
            raise Unavailable(f"the log's Redis refused {command[0]!r}: {reply}")
        return reply

    async def run(self, script: Script, key: str, *arguments: Argument, then: Sequence[Argument] = ()) -> list[Any]:
        """The script's reply, and that of the command `then` sent right behind it on the same connection.

        Raises Unavailable, on the script's own error as well (a full or read-only server): it had no effect, or nobody knows.
        """
        behind = [then] if then else []
        replies = await self.call((b"EVALSHA", script.sha, 1, key, *arguments), *behind)
        if is_no_script(replies[0]):
            replies = await self.call((b"EVAL", script.text, 1, key, *arguments), *behind)
        if isinstance(replies[0], Refused):
            log.warning("script %s failed: %s", script.name, replies[0])
            await self.close()  # after a failover the name leads to another server, and this one stays read-only
            raise Unavailable("the log's Redis refused the write")
        return replies

    async def close(self) -> None:
        """Throw the connection away; the next call makes a new one."""
        connection, self._connection = self._connection, None
        _close(connection)


def is_no_script(reply: Any) -> bool:
    """Whether the server doesn't know a script: it was restarted since, or never had it."""
    return isinstance(reply, Refused) and reply.code == "NOSCRIPT"


def _close(connection: Connection | None) -> None:
    if connection is not None:
        connection.close()


def _why(error: Exception) -> str:
    return error.code if isinstance(error, Refused) else type(error).__name__


async def _skew(connection: Connection) -> int:
    """Our clock minus the server's, microseconds."""
    ((seconds, microseconds),) = await connection.granted(("TIME",))
    return time.time_ns() // 1000 - (int(seconds) * 1_000_000 + int(microseconds))


async def _check_settings(connection: Connection, fsync: bool, need: int) -> None:
    """Raises Misconfigured where the server would lose what it acknowledges, or evict it, or be full before the log's own limit.

    Under `everysec` WAITAOF answers sooner than the disk can fsync (measured): the settings must be read, not the reply alone.
    """
    replies = await connection.ask(*(("CONFIG", "GET", name) for name in SETTINGS))
    refusals = [reply for reply in replies if isinstance(reply, Refused)]
    if refusals and not all(map(is_forbidden, refusals)):
        raise refusals[0]
    found = told_settings(SETTINGS, replies)
    unsaid = [name for name in SETTINGS if name not in found and (fsync or name not in FOR_FSYNC)]
    if unsaid:
        raise Misconfigured(
            f"the log's Redis doesn't say how it is set ({', '.join((*unsaid, *{reply.code for reply in refusals}))}): let its user ask "
            "(`CONFIG GET`), else nobody knows whether it keeps what it acknowledges"
        )
    if fsync and (found["appendonly"], found["appendfsync"]) != ("yes", "always"):
        raise Misconfigured(
            f"the log's Redis has appendonly={found['appendonly']} and appendfsync={found['appendfsync']}: set `appendonly yes` and "
            "`appendfsync always`, or say SWITCHBOARD_LOG_DURABILITY=memory and accept that a crash loses messages"
        )
    if found["maxmemory-policy"] != "noeviction":
        raise Misconfigured(f"the log's Redis has maxmemory-policy={found['maxmemory-policy']}: set `noeviction`, or it evicts messages")
    maxmemory = int(found["maxmemory"] or 0)
    if 0 < maxmemory <= need:
        raise Misconfigured(
            f"the log's Redis has maxmemory={maxmemory}, and the log may take {need} bytes (SWITCHBOARD_LOG_BYTES for each of "
            "SWITCHBOARD_LOG_SHARDS): raise the first, or lower the log's limit"
        )
