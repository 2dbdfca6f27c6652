"""The log on a real Valkey, as a door uses it that was stopped for a while, or whose server was away, is full, or lost everything."""

import time
from typing import Any

import msgspec
import pytest
import redis

from shared.adapters.redis import log_queue
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.domain.errors import Unavailable
from tests.conformance.log_queue import taken
from tests.events import accepted
from tests.servers import LocalServer
from tests.waiting import eventually

PREFIX = "sb:log:{0}:"


async def test_door_leaves_a_flush_to_the_relay_when_it_was_stopped_for_longer_than_relays_wait(
    queue: RedisLogQueue, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by SIGSTOP: the relay publishes what is 5 s old, and what the door published then would come after it, out of order."""
    (entry,) = await queue.append([accepted("e1")])
    assert queue.may_publish(entry, "local")
    monkeypatch.setattr(log_queue, "monotonic", lambda: time.monotonic() + 4.1)
    assert not queue.may_publish(entry, "local")
    monkeypatch.undo()
    assert not queue.may_publish(entry, "local"), "it stays the relay's"
    await eventually(lambda: (server.hget(PREFIX + "gates", "local") or b"").startswith(b"held "))


async def test_log_is_written_to_when_all_that_came_is_known(queue: RedisLogQueue, server: Any) -> None:
    """WAITAOF waits for what its own connection wrote: without a write `duplicate` would not say that the original is on disk."""
    await queue.append([accepted("e1")])
    before = server.info("persistence")["aof_current_size"]
    (entry,) = await queue.append([accepted("e1")])
    assert entry.outcome == "duplicate"
    assert server.info("persistence")["aof_current_size"] > before


async def test_outcome_is_unknown_when_a_replica_that_must_have_it_is_not_there(redis_url: str, queue: RedisLogQueue) -> None:
    wants_one = RedisLogQueue(redis_url, replicas=1, wait_ms=100)
    await wants_one.start()
    with pytest.raises(Unavailable, match="the outcome is unknown"):
        await wants_one.append([accepted("e1")])
    await wants_one.stop()
    (again,) = await queue.append([accepted("e1")])
    assert again.outcome == "duplicate", "it is in the log all the same"


async def test_org_is_stopped_at_a_quarter_when_it_comes_to_the_last_one(redis_url: str) -> None:
    """The log's last quarter is for orgs that hold less than one, whoever filled the others; another quarter is the feed's here."""
    queue = RedisLogQueue(redis_url, limit_bytes=100_000)
    await queue.start()

    async def outcomes(org: str, count: int) -> list[str]:
        return [(await queue.append([accepted(f"e{number}", org=org, body=b"x" * 9_000)]))[0].outcome for number in range(count)]

    assert await outcomes("acme", 4) == ["new"] * 4
    assert await outcomes("globex", 3) == ["new", "new", "full"]
    assert await outcomes("third", 1) == ["new"]
    await queue.stop()


async def test_what_is_done_is_told_when_the_server_was_away_meanwhile(own_redis: LocalServer) -> None:
    """Else the message would be the relay's, and its backbone held for it."""
    queue = RedisLogQueue(own_redis.url, wait_ms=500)
    await queue.start()
    entries = await queue.append([accepted("e1")])
    own_redis.kill()
    queue.delivered(entries, taken(entries))
    await eventually(lambda: not queue.reachable())
    own_redis.start()
    client = redis.Redis.from_url(own_redis.url)
    await eventually(lambda: queue.reachable() and client.zcard(PREFIX + "pending:local") == 0)
    assert client.llen(PREFIX + "queue") == 2, "the message, and the record of its delivery"
    client.close()
    await queue.stop()


async def test_first_copy_is_no_other_message_when_its_flush_has_the_number_of_another_log(queue: RedisLogQueue) -> None:
    (first,) = await queue.append([accepted("e1")])
    (other,) = await queue.append([accepted("e2")])
    assert await queue.first(first) == first.message
    assert await queue.first(msgspec.structs.replace(first, flush=other.flush)) is None
    assert await queue.first(msgspec.structs.replace(first, index=1)) is None
