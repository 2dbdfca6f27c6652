"""The feed when an older copy of the log takes its place, as after a failover."""

import asyncio
from pathlib import Path

from tests.feed import FixedSnapshots, Log, accepted, message, pod, reading
from tests.older_copy import older_copy
from tests.servers import LocalServer


async def test_feed_tells_a_gap_and_goes_on_when_its_numbers_are_given_again(
    own_redis: LocalServer, tmp_path: Path, snapshots: FixedSnapshots, key: str, org: str, secret: Path
) -> None:
    log = Log(own_redis.url)
    async with pod(own_redis.url, secret, snapshots) as feed, reading(feed, key) as client:
        await log.write(accepted(message(org, "before")))
        await client.until(1)
        fail_over = older_copy(own_redis, tmp_path)
        for lost in ("lost-1", "lost-2"):
            await log.write(accepted(message(org, lost)))
        await client.until(3)
        cursor = client.cursor
        fail_over()
        await log.redis.connection_pool.disconnect()
        async with asyncio.timeout(60):
            while "gap" not in await client.frame():
                pass
        await log.write(accepted(message(org, "new")))
        assert await client.until(4) == ["before", "lost-1", "lost-2", "new"]
        async with reading(feed, key, cursor=cursor) as again:
            assert await again.until(1) == ["new"]
            assert ["gap" in one for one in again.others] == [True]
    await log.redis.aclose()
