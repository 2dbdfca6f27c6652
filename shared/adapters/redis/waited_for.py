"""Which backbones a shard's messages wait for."""

from typing import Any

from shared.adapters.redis.keys import prefix
from shared.adapters.redis.link import Link

COUNT = 1_000  # keys looked at in one go


async def waited_for(url: str, shard: int) -> set[str]:
    """The ids of backbones with something pending or to be tried again, whether they are there or not. Raises Unavailable."""
    start, link = prefix(shard), Link(url)
    found: set[str] = set()
    cursor: Any = b"0"
    try:
        while True:
            [[cursor, keys]] = await link.call(("SCAN", cursor, "MATCH", f"{start}[pr]e*:*", "COUNT", COUNT))
            for key in keys:
                kind, _, backbone = key.decode().removeprefix(start).partition(":")
                if kind in ("pending", "retry"):
                    found.add(backbone)
            if int(cursor) == 0:
                return found
    finally:
        await link.close()
