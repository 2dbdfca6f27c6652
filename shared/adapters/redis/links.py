"""A few connections for many callers, each call on one that is free: what one waits for keeps no other from its answer for long."""

import asyncio
from typing import Any

from shared.adapters.redis.link import Argument, Link
from shared.adapters.redis.scripts import Script

MOST = 4


class Links:
    """At most `most` connections to the log's Redis, made when they are first needed."""

    def __init__(self, url: str, most: int = MOST) -> None:
        self._url = url
        self._free: list[Link] = []
        self._room = asyncio.Semaphore(most)

    async def run(self, script: Script, key: str, *arguments: Argument) -> Any:
        """The script's reply. Raises Unavailable."""
        async with self._room:
            link = self._free.pop() if self._free else Link(self._url)
            try:
                (reply,) = await link.run(script, key, *arguments)
            finally:
                self._free.append(link)  # after a failure it connects anew
        return reply

    async def close(self) -> None:
        """Let the connections go; nobody calls any more."""
        for link in self._free:
            await link.close()
