"""Rate limits shared by way of a real Valkey: what gets through, and what happens when it is away, slow, full or wrong."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, NamedTuple

import pytest
import redis

from shared.adapters.redis.keys import LIMITS
from shared.adapters.redis.limits import DEADLINE, SharedLimits
from shared.domain.config.document import RateLimit
from shared.resources import Resources
from shared.settings import Settings
from tests.servers import LocalServer
from tests.waiting import eventually

LIMIT = RateLimit("l", (), 100.0, 10)
SLOW = RateLimit("slow", (), 0.001, 10)  # no token comes while a test runs
LEVELS, FULL = f"{LIMITS}levels", f"{LIMITS}full"


def take(shared: SharedLimits, key: str = "k", limit: RateLimit = SLOW) -> bool:
    return shared.limits.take([(key, limit)], monotonic()) is None


def take_all(shared: SharedLimits, key: str = "k", limit: RateLimit = SLOW) -> int:
    """How many get through before one is refused."""
    through = 0
    while take(shared, key, limit):
        through += 1
    return through


class Asked(NamedTuple):
    """How many got through each process, in `seconds`, in `idle` of which nobody asked though there was more than a bucket's worth: others
    had the machine."""

    through: list[int]
    limit: RateLimit
    seconds: float
    idle: float

    def is_what_one_bucket_gives(self, within: float) -> bool:
        """But for that part. What came while nobody asked is nobody's, or made up for where a report tells of that time, too."""
        most = self.limit.burst + self.limit.rate * self.seconds
        least = most - self.limit.rate * self.idle
        return least * (1 - within) <= sum(self.through) <= most * (1 + within)


async def ask_for(seconds: float, processes: Sequence[SharedLimits], limit: RateLimit = LIMIT) -> Asked:
    """As fast as this machine can."""
    through, full = [0] * len(processes), limit.burst / limit.rate
    began = asked = monotonic()
    idle = 0.0
    while asked - began < seconds:
        for index, shared in enumerate(processes):
            for _ in range(20):
                before, asked = asked, monotonic()
                idle += max(0.0, asked - before - full)
                through[index] += take(shared, "k", limit)
        await asyncio.sleep(0)
    return Asked(through, limit, monotonic() - began, idle)


@asynccontextmanager
async def sharing(url: str, processes: int, **settings: Any) -> AsyncIterator[list[SharedLimits]]:
    running = [SharedLimits(url, **settings) for _ in range(processes)]
    for shared in running:
        await shared.start()
    try:
        yield running
    finally:
        for shared in running:
            await shared.stop()


async def test_three_processes_admit_what_one_would_when_all_ask_as_fast_as_they_can(redis_url: str) -> None:
    async with sharing(redis_url, 3) as processes:
        asked = await ask_for(4.0, processes)
        assert asked.is_what_one_bucket_gives(within=0.05), asked
        assert min(asked.through) > 20


@pytest.mark.parametrize(("rate", "burst"), [(1_000.0, 10), (20.0, 1)])
async def test_the_rate_gets_through_when_a_burst_is_less_than_comes_between_two_reports(redis_url: str, rate: float, burst: int) -> None:
    async with sharing(redis_url, 1) as processes:
        asked = await ask_for(2.0, processes, RateLimit("l", (), rate, burst))
        assert asked.is_what_one_bucket_gives(within=0.1), asked


async def test_a_process_hears_what_others_took_and_gave_back(redis_url: str) -> None:
    async with sharing(redis_url, 2) as (one, other):
        assert take_all(one) == 10
        await eventually(lambda: not take(other))  # it had taken some before it heard of it
        one.limits.give_back([("k", SLOW)], monotonic(), 10)
        await eventually(lambda: take(other))


async def test_the_last_report_is_made_when_a_process_stops(redis_url: str, server: Any) -> None:
    async with sharing(redis_url, 1) as (one,):
        take_all(one)
    async with sharing(redis_url, 1) as (other,):
        take(other)
        await eventually(lambda: not take(other))
    assert server.hlen(LEVELS) == 1


async def test_buckets_are_gone_when_they_are_full_again(redis_url: str, server: Any) -> None:
    async with sharing(redis_url, 1) as (one,):

        def kept() -> bool:  # for a tenth of a second, in which nobody may look
            take_all(one, "k", LIMIT)
            return bool(0 < server.pttl(LEVELS) <= 1_000 and 0 < server.pttl(FULL) <= 1_000)

        await eventually(kept)
        await eventually(lambda: server.exists(LEVELS, FULL) == 0)
        take_all(one, "slow")
        await eventually(lambda: server.hlen(LEVELS) == 1)

        def many_are_kept() -> bool:
            for number in range(300):
                take(one, f"k{number}", LIMIT)
            return bool(server.hlen(LEVELS) > 100)

        await eventually(many_are_kept)

        async def only_the_slow_one() -> bool:
            take(one, "slow")
            return bool(server.hkeys(LEVELS) == [b"slow"] == server.zrange(FULL, 0, -1))

        await eventually(only_the_slow_one)


async def test_a_process_forgets_idle_buckets_when_they_are_full_again(redis_url: str, server: Any) -> None:
    async with sharing(redis_url, 1) as (one,):
        take_all(one, "drained")
        for number in range(300):
            take(one, f"k{number}", LIMIT)
        assert len(one.limits) == 301
        await eventually(lambda: len(one.limits) == 1)  # a sweep a second
        assert not take(one, "drained")


async def test_memory_is_bounded_and_each_process_limits_on_its_own_when_there_are_too_many_keys(redis_url: str, server: Any) -> None:
    async with sharing(redis_url, 1, max_buckets=500) as (one,):
        assert take_all(one, "first") == 10
        await eventually(lambda: server.hlen(LEVELS) == 1)
        for number in range(3_000):
            assert take(one, f"k{number}")
        await eventually(lambda: server.hlen(LEVELS) == 500 == server.zcard(FULL))
        assert take_all(one, "k2999") == 9
        await eventually(lambda: not take(one, "k2999"))
        async with sharing(redis_url, 1) as (other,):
            take(other, "first")
            await eventually(lambda: not take(other, "first"))


async def test_nothing_goes_to_the_disk_when_processes_report(redis_url: str, server: Any) -> None:
    server.set("marker", 1)
    size = server.info("persistence")["aof_current_size"]
    async with sharing(redis_url, 1) as (one,):
        take(one)
        await eventually(lambda: server.hlen(LEVELS) == 1)
    assert server.info("persistence")["aof_current_size"] == size


async def test_limits_go_on_alone_and_are_shared_again_when_the_server_restarts(
    own_redis: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shared.adapters.redis.limits")
    async with sharing(own_redis.url, 2) as (one, other):
        assert take_all(one, "before") == 10
        await eventually(lambda: not take(other, "before"))
        own_redis.kill()
        alone = await ask_for(1.5, [one])
        assert alone.is_what_one_bucket_gives(within=0.05), alone
        assert take_all(one, "during") == 10
        assert take_all(other, "during") == 10
        own_redis.start()
        await eventually(lambda: sum("shared again" in record.message for record in caplog.records) == 2)
        assert sum("own for now" in record.message for record in caplog.records) == 2
        assert not take(one, "during")
        # What was taken while nobody was told is owed as far as one bucket holds: not the whole time's.
        again = monotonic()
        await eventually(lambda: take(one, "k", LIMIT))
        assert monotonic() - again < 1.2  # the whole time's would take 1.5 s
        assert take_all(one, "after") == 10
        take(other, "after")
        await eventually(lambda: not take(other, "after"))


async def test_a_message_never_waits_and_the_end_comes_when_the_server_answers_nothing(own_redis: LocalServer) -> None:
    async with sharing(own_redis.url, 1) as (one,):
        take(one)
        own_redis.pause()
        began = monotonic()
        assert take_all(one) <= 10
        assert monotonic() - began < DEADLINE
    own_redis.resume()
    assert monotonic() - began < 30


async def test_limits_are_shared_again_when_a_key_was_something_else(redis_url: str, server: Any, caplog: pytest.LogCaptureFixture) -> None:
    server.set(LEVELS, "not a hash")
    async with sharing(redis_url, 2) as (one, other):
        assert take_all(one) == 10
        await eventually(lambda: not take(one))
        await eventually(lambda: sum("own for now" in record.message for record in caplog.records) == 1)
        server.delete(LEVELS)
        take(other)
        await eventually(lambda: not take(other))
        assert len(caplog.records) <= 2


async def test_a_process_keeps_its_own_buckets_when_there_is_no_redis() -> None:
    resources = Resources(Settings())
    limits = await resources.limits()
    assert limits is await resources.limits()
    assert limits.take([("k", SLOW)], monotonic()) is None
    assert limits.report() == []
    await resources.stop()


async def test_processes_share_when_they_have_one_redis(redis_url: str) -> None:
    one, other = (Resources(Settings(redis_url=redis_url)) for _ in range(2))
    mine, others = await one.limits(), await other.limits()
    assert mine.take([("k", SLOW)], monotonic(), n=10) is None
    await eventually(lambda: others.take([("k", SLOW)], monotonic()) is not None)
    await one.stop()
    await other.stop()


async def test_limits_are_there_when_the_redis_is_away(own_redis: LocalServer) -> None:
    own_redis.kill()
    resources = Resources(Settings(redis_url=own_redis.url))
    limits = await resources.limits()
    assert limits.take([("k", SLOW)], monotonic()) is None
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(own_redis.url).ping()
    await resources.stop()
