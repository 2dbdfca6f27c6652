"""An older copy of the log takes its place, as after a failover: its numbers are given again, and mean other flushes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from shared.adapters.redis.log_queue import RedisLogQueue
from shared.domain.errors import Unavailable
from shared.domain.logged import Entry
from tests.conformance.log_queue import taken
from tests.events import accepted
from tests.older_copy import older_copy
from tests.servers import LocalServer
from tests.waiting import eventually

PENDING = "sb:log:{0}:pending:local"


async def door(server: LocalServer) -> RedisLogQueue:
    queue = RedisLogQueue(server.url)
    await queue.start()
    return queue


async def logged(queue: RedisLogQueue, id: str) -> Entry:
    """The entry of a message, once the log takes it."""

    async def once() -> Sequence[Entry]:
        try:
            return await queue.append([accepted(id)])
        except Unavailable:
            return ()

    return (await eventually(once))[0]


def waits(server: LocalServer) -> list[Any]:
    """The numbers of the flushes that the backbone waits for."""
    with redis.Redis.from_url(server.url) as client:
        found: list[Any] = client.zrange(PENDING, 0, -1)
        return [int(number) for number in found]


@pytest.mark.parametrize("first_back", ["the same door", "another door"])
async def test_what_was_delivered_of_the_lost_part_completes_nothing_when_its_number_is_given_again(
    own_redis: LocalServer, tmp_path: Path, first_back: str
) -> None:
    queue, other = await door(own_redis), await door(own_redis)
    before = await queue.append([accepted("before")])
    await other.append([accepted("others")])
    fail_over = older_copy(own_redis, tmp_path)
    lost = await queue.append([accepted("lost")])
    fail_over()
    new = await logged(queue if first_back == "the same door" else other, "new")
    assert (new.outcome, new.flush) == ("new", lost[0].flush)
    queue.delivered(lost, taken(lost))
    after = await logged(queue, "after")
    assert {new.flush, after.flush} <= set(waits(own_redis))
    assert after.epoch != before[0].epoch
    queue.delivered([after], taken([after]))
    await eventually(lambda: after.flush not in waits(own_redis))  # completions of the new epoch count
    assert new.flush in waits(own_redis)
    await queue.stop()
    await other.stop()


async def test_epoch_stays_when_the_server_comes_back_with_all_it_had(own_redis: LocalServer) -> None:
    queue = await door(own_redis)
    before = await logged(queue, "before")
    own_redis.kill()
    own_redis.start()
    after = await logged(queue, "after")
    assert (after.epoch, after.flush) == (before.epoch, before.flush + 1)
    await queue.stop()
