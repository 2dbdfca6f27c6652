"""The log on a real Valkey: the window by its clock, durability, what a door tells the log, and a server that goes away."""

import asyncio
import struct
import time
from collections.abc import Sequence
from typing import Any

import pytest
import redis

from shared.adapters.redis import link
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.domain.errors import Misconfigured, Unavailable
from shared.domain.logged import Entry
from shared.domain.record import Accepted, Attempt, Deliveries, RefusalCount, unpack_flush
from tests.conformance.log_queue import taken
from tests.events import accepted, attempt, message
from tests.integration.redis_tenants import without_config
from tests.servers import LocalServer
from tests.waiting import eventually

PREFIX = "sb:log:{0}:"


def age(server: Any, seconds: int) -> None:
    """Make every identity in the log as old as if it had been logged that long ago."""
    now = int(server.time()[0])
    for key in server.keys(PREFIX + "ids:*"):
        for identity, value in server.hgetall(key).items():
            then = now - seconds
            server.hdel(key, identity)
            server.hset(f"{PREFIX}ids:{then // 60}", identity, value[:36] + struct.pack(">I", then) + value[40:])


@pytest.mark.parametrize(
    ("seconds", "outcome"), [(1, "duplicate"), (119, "duplicate"), (121, "new"), (181, "new"), (-60, "duplicate"), (-180, "new")]
)
async def test_second_copy_is_judged_by_the_window_when_it_comes_after(
    queue: RedisLogQueue, server: Any, seconds: int, outcome: str
) -> None:
    """Less than nothing: the clock went back since, which up to a minute costs nothing."""
    await queue.append([accepted("e1")])
    age(server, seconds)
    (entry,) = await queue.append([accepted("e1")])
    assert entry.outcome == outcome


async def test_flush_holds_every_record_and_its_verdict_when_read_back(queue: RedisLogQueue, server: Any) -> None:
    await queue.append([accepted("e1")])
    await queue.append([accepted("e1"), accepted("e2")])
    (oldest, newest) = reversed(server.lrange(PREFIX + "queue", 0, -1))
    packed = server.get(f"{PREFIX}flush:{int(newest)}")
    assert packed is not None
    flush = unpack_flush(int(newest), packed)
    assert flush.mask == b"dn"
    assert [(index, record.message.event_id) for index, record in flush.new() if isinstance(record, Accepted)] == [(1, "e2")]
    assert abs(flush.logged_at - time.time_ns() // 1000) < 60_000_000
    assert int(oldest) < int(newest)


async def test_pending_is_empty_when_everything_was_delivered(queue: RedisLogQueue, server: Any) -> None:
    entries = await queue.append([accepted(f"e{number}") for number in range(10)])
    assert server.zcard(PREFIX + "pending:local") == 1
    queue.delivered(entries[:4], taken(entries[:4]))
    queue.delivered(entries[4:], taken(entries[4:]))
    await eventually(lambda: server.zcard(PREFIX + "pending:local") == 0)
    assert server.hlen(PREFIX + "done:local") == 0
    noted = [record for flush in queued(server) for record in flush if isinstance(record, Deliveries)]
    assert sum(len(record.sequences) for record in noted) == 10


async def test_log_knows_what_is_done_when_the_backbone_is_held_half_way(queue: RedisLogQueue, server: Any) -> None:
    entries = await queue.append([accepted(f"e{number}") for number in range(10)])
    queue.delivered(entries[:4], taken(entries[:4]))
    queue.hold(0, "local", "timeout")
    number = str(entries[0].flush)
    await eventually(lambda: server.hget(PREFIX + "done:local", number) == struct.pack(">4H", 0, 1, 2, 3))
    gate = server.hget(PREFIX + "gates", "local")
    assert gate is not None
    assert gate.startswith(b"held ")
    assert server.zcard(PREFIX + "pending:local") == 1


async def test_every_door_stops_publishing_when_one_holds_the_backbone(queue: RedisLogQueue, redis_url: str) -> None:
    other = RedisLogQueue(redis_url)
    await other.start()
    queue.hold(0, "local", "timeout")
    (first,) = await queue.append([accepted("e1")])
    (entry,) = await other.append([accepted("e2")])
    assert not queue.may_publish(first, "local")
    assert not other.may_publish(entry, "local")
    await other.stop()


async def test_idle_door_knows_that_a_backbone_is_open_when_the_relay_has_opened_it(queue: RedisLogQueue, server: Any) -> None:
    queue.hold(0, "local", "timeout")
    await eventually(lambda: server.hget(PREFIX + "gates", "local"))
    assert queue.held() == ["local"]
    server.hdel(PREFIX + "gates", "local")
    written = {key: server.dump(key) for key in server.keys("*")}
    await eventually(lambda: queue.held() == [])
    assert {key: server.dump(key) for key in server.keys("*")} == written


async def test_door_waits_for_the_relay_when_the_gate_is_closing(queue: RedisLogQueue, server: Any) -> None:
    server.hset(PREFIX + "gates", "local", "closing 1")
    (entry,) = await queue.append([accepted("e1")])
    assert not queue.may_publish(entry, "local")
    server.hdel(PREFIX + "gates", "local")
    assert await queue.opened(entry, "local")


async def test_door_holds_the_backbone_when_the_relay_does_not_finish_in_a_second(queue: RedisLogQueue, server: Any) -> None:
    server.hset(PREFIX + "gates", "local", "closing 1")
    (entry,) = await queue.append([accepted("e1")])
    assert not await queue.opened(entry, "local")
    await eventually(lambda: (server.hget(PREFIX + "gates", "local") or b"").startswith(b"held "))


async def test_nothing_is_marked_when_the_log_can_not_be_written(queue: RedisLogQueue, server: Any) -> None:
    server.set(PREFIX + "queue", "a string where the list belongs")
    with pytest.raises(Unavailable):
        await queue.append([accepted("e1")])
    server.delete(PREFIX + "queue")
    (entry,) = await queue.append([accepted("e1")])
    assert entry.outcome == "new", "a retry after a failed push must not find itself a duplicate"


@pytest.mark.parametrize("sequence", [2**64, "\ud800"])
async def test_messages_are_logged_again_when_a_delivery_record_could_not_be_packed(
    queue: RedisLogQueue, server: Any, sequence: Any
) -> None:
    """It went with each flush from then on, none of which could be sent."""
    (entry,) = await queue.append([accepted("e1")])
    told = (sequence,) if isinstance(sequence, int) else (1,)
    subject = sequence if isinstance(sequence, str) else "sb.acme.x"
    queue.delivered([entry], Deliveries("acme", "local", "sb-acme", "", queue.now(), entry.message.id, (subject,), told))

    async def logged() -> bool:
        try:
            return (await queue.append([accepted("e2")]))[0].outcome in ("new", "duplicate")
        except Unavailable:
            return False

    await eventually(logged)
    assert queue.reachable()


async def test_refusals_over_ten_a_second_become_one_count_when_the_second_is_over(queue: RedisLogQueue, server: Any) -> None:
    queue.refuse([attempt(f"e{number}", body=b"x" * 5_000) for number in range(500)])

    def recorded() -> list[object]:
        return [record for flush in queued(server, "refused") for record in flush]

    await eventually(lambda: any(isinstance(record, RefusalCount) for record in recorded()))
    attempts = [record for record in recorded() if isinstance(record, Attempt)]
    counts = [record.count for record in recorded() if isinstance(record, RefusalCount)]
    assert len(attempts) + sum(counts) == 500
    assert {len(record.message.body or b"") for record in attempts} == {4096}
    assert all(record.cut for record in attempts)


async def test_long_body_is_cut_in_the_feed_and_whole_in_the_flush_when_logged(queue: RedisLogQueue, server: Any) -> None:
    (entry,) = await queue.append([accepted("e1", body=b'"' + b"x" * 20_000 + b'"')])
    ((_, fields),) = server.xrange(PREFIX + "feed")
    shown = unpack_flush(entry.flush, fields[b"f"]).records[0]
    assert isinstance(shown, Accepted)
    assert (len(shown.message.body or b""), shown.cut, shown.message.extensions) == (16_384, True, None)
    assert len((await queue.first(entry) or message()).body or b"") == 20_002


async def test_clock_of_the_door_is_not_believed_when_it_is_far_off(
    queue: RedisLogQueue, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.append([accepted("e1")])
    real = time.time_ns
    monkeypatch.setattr("shared.adapters.redis.flusher.time.time_ns", lambda: real() + 3_600_000_000_000)
    await queue.append([accepted("e2")])
    (entry,) = await queue.append([accepted("e3", received_at=real() // 1000 + 3_600_000_000)])
    stored = await queue.first(entry)
    assert stored is not None
    assert abs(stored.received_at - real() // 1000) < 60_000_000


async def test_outcome_is_unknown_and_later_appends_work_when_the_server_restarts(own_redis: LocalServer) -> None:
    queue = RedisLogQueue(own_redis.url, wait_ms=500)
    await queue.start()
    (before,) = await queue.append([accepted("e1")])
    own_redis.kill()
    with pytest.raises(Unavailable):
        await queue.append([accepted("e2")])
    own_redis.start()

    async def logged() -> Entry | None:
        try:
            return (await queue.append([accepted("e1")]))[0]
        except Unavailable:
            return None

    entry: Entry | None = None
    while entry is None:
        entry = await logged()
    assert (entry.outcome, entry.flush) == ("duplicate", before.flush)
    await queue.stop()


async def test_start_is_refused_when_the_server_would_lose_what_it_acknowledges(own_redis: LocalServer) -> None:
    redis.Redis.from_url(own_redis.url).config_set("appendfsync", "everysec")
    with pytest.raises(Misconfigured, match="appendfsync"):
        await RedisLogQueue(own_redis.url).start()
    careless = RedisLogQueue(own_redis.url, durability="memory")
    await careless.start()
    (entry,) = await careless.append([accepted("e1")])
    assert entry.outcome == "new"
    await careless.stop()


async def test_start_is_refused_when_the_server_would_evict_messages_or_be_full_before_the_log(own_redis: LocalServer) -> None:
    client = redis.Redis.from_url(own_redis.url)
    client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(Misconfigured, match="noeviction"):
        await RedisLogQueue(own_redis.url).start()
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 100_000_000)
    with pytest.raises(Misconfigured, match="maxmemory=100000000"):
        await RedisLogQueue(own_redis.url, limit_bytes=50_000_000, shards=2).start()
    client.close()


@pytest.mark.parametrize("durability", ["fsync", "memory"])
async def test_start_is_refused_when_the_server_lets_nobody_ask_how_it_is_set(own_redis: LocalServer, durability: str) -> None:
    """It said that the server can't be reached, for good."""
    with pytest.raises(Misconfigured, match=r"maxmemory-policy, NOPERM.*CONFIG GET"):
        await RedisLogQueue(without_config(own_redis), durability=durability).start()


async def test_start_asks_nothing_of_files_when_the_log_is_in_memory(own_redis: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that have none tell no `appendonly`; SETTINGS asks for one of a name that no server knows in its place."""
    monkeypatch.setattr(link, "SETTINGS", ("no-such-setting", "appendfsync", "maxmemory", "maxmemory-policy"))
    monkeypatch.setattr(link, "FOR_FSYNC", ("no-such-setting", "appendfsync"))
    with pytest.raises(Misconfigured, match="no-such-setting"):
        await RedisLogQueue(own_redis.url).start()
    queue = RedisLogQueue(own_redis.url, durability="memory")
    await queue.start()
    await queue.stop()


async def test_door_tells_what_is_done_when_another_door_holds_the_backbone(queue: RedisLogQueue, server: Any, redis_url: str) -> None:
    other = RedisLogQueue(redis_url)
    await other.start()
    entries = await queue.append([accepted(f"e{number}") for number in range(3)])
    queue.delivered(entries[:1], taken(entries[:1]))
    other.hold(0, "local", "timeout")
    await eventually(lambda: server.hget(PREFIX + "gates", "local"))
    await queue.append([accepted("later")])
    await eventually(lambda: server.hget(PREFIX + "done:local", str(entries[0].flush)) == struct.pack(">H", 0))
    await other.stop()


async def test_completion_of_a_lost_log_completes_nothing_when_its_numbers_begin_again(
    queue: RedisLogQueue, server: Any, redis_url: str
) -> None:
    old = await queue.append([accepted("old")])
    server.flushdb()
    other = RedisLogQueue(redis_url)
    await other.start()
    (new,) = await other.append([accepted("new")])
    assert new.flush == old[0].flush
    queue.delivered(old, taken(old))
    await eventually(lambda: server.llen(PREFIX + "queue") == 2)
    assert server.zrange(PREFIX + "pending:local", 0, -1) == [str(new.flush).encode()]
    await other.stop()


async def test_pending_keeps_log_order_when_the_clock_goes_back(queue: RedisLogQueue, server: Any) -> None:
    (first,) = await queue.append([accepted("e1")])
    (score,) = server.zmscore(PREFIX + "pending:local", [str(first.flush)])
    server.zadd(PREFIX + "pending:local", {str(first.flush): score + 5_000_000})
    (second,) = await queue.append([accepted("e2")])
    assert server.zrange(PREFIX + "pending:local", 0, -1) == [str(first.flush).encode(), str(second.flush).encode()]


async def test_entries_are_published_in_log_order_when_a_call_takes_several_flushes(queue: RedisLogQueue) -> None:
    published: list[str] = []

    def publish(entries: Sequence[Entry]) -> None:
        published.extend(entry.message.event_id for entry in entries)

    long = b'"' + b"x" * 1_000_000 + b'"'
    first = asyncio.create_task(queue.append([accepted(f"a{number}", body=long) for number in range(12)], publish))
    second = asyncio.create_task(queue.append([accepted("b")], publish))
    entries = [*await first, *await second]
    assert published == [f"a{number}" for number in range(12)] + ["b"]
    assert [(entry.flush, entry.index) for entry in entries] == sorted((entry.flush, entry.index) for entry in entries)
    assert entries[0].flush < entries[11].flush


def queued(server: Any, name: str = "queue") -> list[list[object]]:
    """The new records of every flush on that list, oldest first."""
    numbers = [int(number) for number in reversed(server.lrange(PREFIX + name, 0, -1))]
    packed = [(number, server.get(f"{PREFIX}flush:{number}")) for number in numbers]
    return [[record for _, record in unpack_flush(number, found).new()] for number, found in packed if found]
