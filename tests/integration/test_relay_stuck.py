"""What a backbone waits for and the relay can't simply read: delivered from what is left of it, a dead letter, or put aside and counted."""

from typing import Any

from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.postgres import PostgresMessageStore
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.adapters.redis.relay_log import RedisRelayLog
from shared.domain.record import DeadLetter
from shared.domain.relaying import Relayed, Retry
from tests.events import accepted
from tests.faults.ledger import streamed
from tests.integration.test_relay import PREFIX, age, gate, idle, noted, relaying
from tests.waiting import eventually

BIG = b'"' + b"x" * 20_000 + b'"'  # the feed cuts it


def plain(stream: list[str]) -> list[str]:
    return [id.replace("-", "") for id in stream]


async def test_a_flush_that_is_gone_is_delivered_as_the_feed_has_it_and_what_was_cut_there_is_a_dead_letter(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    small, big = accepted("small", org=org), accepted("big", org=org, body=BIG)
    await queue.append([small, big])
    server.delete(PREFIX + "flush:1")
    server.lrem(PREFIX + "queue", 0, "1")
    age(server)
    async with relaying(redis_url, backbones, store):
        await eventually(lambda: idle(server))
    assert plain(await streamed(nats_url, f"sb-{org}")) == [small.message.id.hex()]
    (dead,) = noted(server, DeadLetter)
    assert (dead.id, dead.org, dead.backbone) == (big.message.id, org, "local")


async def test_a_flush_of_which_nothing_is_left_is_put_aside_and_counted_and_holds_nobody(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    await queue.append([accepted("lost", org=org)])
    (entry,) = await queue.append([accepted("e2", org=org)])
    server.delete(PREFIX + "flush:1")
    server.xdel(PREFIX + "feed", "1-0")
    age(server)
    async with relaying(redis_url, backbones, store) as relay:
        await eventually(lambda: gate(server) == "open" and relay.stuck == 1)
    assert server.zrange(PREFIX + "stuck:local", 0, -1) == [b"1"]
    assert plain(await streamed(nats_url, f"sb-{org}")) == [entry.message.id.hex()]


async def test_a_flush_of_another_release_waits_for_a_relay_that_can_read_it(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, nats_url: str, org: str
) -> None:
    (first,) = await queue.append([accepted("e1", org=org)])
    (second,) = await queue.append([accepted("e2", org=org)])
    server.setrange(PREFIX + "flush:1", 0, b"\x63")
    age(server)
    async with relaying(redis_url, backbones, store) as relay:
        await eventually(lambda: gate(server) == "open" and relay.stuck == 1)
    assert server.exists(PREFIX + "flush:1"), "it is still held"
    server.setrange(PREFIX + "flush:1", 0, b"\x01")
    async with relaying(redis_url, backbones, store, "newer") as relay:
        await eventually(lambda: idle(server) and relay.delivered == 1 and relay.stuck == 0)
    assert plain(await streamed(nats_url, f"sb-{org}")) == [second.message.id.hex(), first.message.id.hex()]


async def test_what_was_refused_is_a_dead_letter_when_its_body_is_nowhere(
    queue: RedisLogQueue, redis_url: str, backbones: NatsBackbones, store: PostgresMessageStore, server: Any, org: str
) -> None:
    (entry,) = await queue.append([accepted("refused", org=org)])
    log = RedisRelayLog(redis_url, 0, "local", worker="one")
    await log.lease()
    await log.done(Relayed(whole=[entry.flush], again=[(Retry(entry.flush, entry.index, 3, entry.message.id, org), 0)]))
    await log.leave()
    await log.close()
    server.delete(PREFIX + "flush:1")
    server.lrem(PREFIX + "queue", 0, "1")
    async with relaying(redis_url, backbones, store):
        await eventually(lambda: not server.zcard(PREFIX + "retry:local"))
    (dead,) = noted(server, DeadLetter)
    assert (dead.id, dead.org, dead.attempts) == (entry.message.id, org, 3)


async def test_entries_stay_in_the_logs_order_and_are_as_old_as_they_are_when_the_clock_went_back(
    queue: RedisLogQueue, redis_url: str, server: Any
) -> None:
    """An entry scored an hour ahead is what a clock that was ahead left behind."""
    await queue.append([accepted("e1")])
    server.zincrby(PREFIX + "pending:local", 3_600_000_000, 1)
    for number in range(2, 13):
        await queue.append([accepted(f"e{number}")])
    log = RedisRelayLog(redis_url, 0, "local")
    entries = (await log.oldest(100)).entries
    assert [entry.flush for entry in entries] == list(range(1, 13))
    assert await log.lease()
    look = await log.gate()
    assert (look.state, look.pending) == ("open", 12)
    assert all(0 <= look.now - entry.logged_at < 60_000_000 for entry in entries)
    await log.close()


async def test_the_gate_is_held_when_the_oldest_entry_was_logged_before_the_clock_went_back(
    queue: RedisLogQueue, redis_url: str, server: Any
) -> None:
    await queue.append([accepted("e1")])
    ahead = int(server.time()[0]) + 3_600
    server.setrange(PREFIX + "flush:1", 1, ahead.to_bytes(4, "big"))
    server.zadd(PREFIX + "pending:local", {"1": ahead * 1_000_000})
    log = RedisRelayLog(redis_url, 0, "local")
    assert await log.lease()
    assert (await log.gate()).state == "held"
    await log.close()
