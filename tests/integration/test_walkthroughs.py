"""Walk-throughs of design/log.md through the real pipeline, on real servers."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from functions.pipeline import Pipeline
from shared.adapters.postgres import PostgresMessageStore
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.publishing import Outgoing
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Outcome, Receipt, Refusal
from tests.events import accepted, message
from tests.faults.ledger import streamed
from tests.integration.test_logger import logging
from tests.integration.test_relay import PREFIX, connected, gate, idle, relaying
from tests.servers import LocalServer
from tests.waiting import eventually

DAY = 86_400_000_000  # microseconds
IN_FLIGHT = 64


class State:
    current = Snapshot(revision=42, keys={})


@pytest.fixture
def sender(org: str) -> Principal:
    return Principal("tester", org, (Grant("admin"),))


class Flood:
    """Sources that don't wait for an answer before they send on: up to 64 messages in flight, 16 of each."""

    def __init__(self, pipeline: Pipeline, sender: Principal) -> None:
        self.outcomes: list[Outcome] = []
        self.sent: dict[str, list[str]] = {f"/s{number}": [] for number in range(4)}
        self._pipeline, self._sender = pipeline, sender

    async def until(self, stop: asyncio.Event) -> None:
        flying: deque[asyncio.Task[Sequence[Outcome]]] = deque()
        for number in count():
            for source, ids in self.sent.items():
                event = message(f"{number:06}", org=self._sender.org, source=source)
                ids.append(event.id.hex())
                flying.append(asyncio.create_task(self._pipeline.submit([event], self._sender)))
            while len(flying) >= IN_FLIGHT or (flying and stop.is_set()):
                self.outcomes += await flying.popleft()
            if stop.is_set():
                return

    def statuses(self) -> set[str | None]:
        """Of the deliveries; every message was accepted."""
        found = set()
        for outcome in self.outcomes:
            assert isinstance(outcome, Receipt), outcome
            found.add(outcome.deliveries[0].status)
        return found

    def in_order(self, stream: Sequence[str]) -> None:
        """Every message once, and each source's in its order."""
        places = {id.replace("-", ""): place for place, id in enumerate(stream)}
        assert len(places) == len(stream) == sum(map(len, self.sent.values()))
        for ids in self.sent.values():
            assert sorted(ids, key=places.__getitem__) == ids


async def test_a_sources_order_holds_when_many_of_its_messages_are_in_flight_while_nats_goes_and_comes_back(
    queue: RedisLogQueue,
    redis_url: str,
    store: PostgresMessageStore,
    server: Any,
    own_nats: LocalServer,
    sender: Principal,
) -> None:
    async with connected(own_nats.url) as backbones, relaying(redis_url, backbones, store):
        flood, stop = Flood(Pipeline.inline(queue, backbones, State(), store), sender), asyncio.Event()
        traffic = asyncio.create_task(flood.until(stop))
        await eventually(lambda: len(flood.outcomes) > 500)
        assert flood.statuses() == {None}
        own_nats.kill()
        await eventually(lambda: gate(server) == "held")
        flood.outcomes.clear()
        await eventually(lambda: len(flood.outcomes) > 1_000)
        assert flood.statuses() == {"pending"}
        own_nats.start()
        await eventually(lambda: gate(server) == "open")
        flood.outcomes.clear()
        await eventually(lambda: None in flood.statuses())
        stop.set()
        await traffic
        await eventually(lambda: idle(server))
    flood.in_order(await streamed(own_nats.url, f"sb-{sender.org}"))


def thousand(org: str) -> tuple[list[Message], dict[str, list[int]]]:
    """1,000 events, and the places of those that aren't simply new."""
    odd = {"duplicate": [100, 500, 999], "conflict": [300, 700], "healed": [400]}
    first = {100: 7, 500: 499, 999: 0, 300: 20, 700: 650}  # place -> that of the event whose identity it has
    events = [
        message(f"e{first.get(place, place)}", org=org, body=b'{"other":1}' if place in odd["conflict"] else b'{"sku":"a"}')
        for place in range(1_000)
    ]
    return events, odd


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "each by itself"])
async def test_994_are_new_once_and_in_order_when_a_thousand_have_3_duplicates_2_conflicts_and_1_that_only_the_stream_knows(
    queue: RedisLogQueue, store: PostgresMessageStore, server: Any, nats_url: str, sender: Principal, together: bool
) -> None:
    events, odd = thousand(sender.org)
    (known,) = odd["healed"]
    async with connected(nats_url) as backbones:
        before = await backbones.publish("local", sender.org, [Outgoing(events[known], 42)])  # and the door's log was lost
        pipeline = Pipeline.inline(queue, backbones, State(), store)
        if together:
            outcomes = await pipeline.submit(events, sender)
        else:
            outcomes = [outcome for (outcome,) in await asyncio.gather(*(pipeline.submit([event], sender) for event in events))]
        await eventually(lambda: not server.zcard(PREFIX + "pending:local"))

    refused = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, Refusal)]
    assert refused == odd["conflict"]
    assert [outcome.error.status for outcome in outcomes if isinstance(outcome, Refusal)] == [422, 422]
    receipts = {place: outcome for place, outcome in enumerate(outcomes) if isinstance(outcome, Receipt)}
    assert [place for place, receipt in receipts.items() if receipt.duplicate] == odd["duplicate"]
    sequences = {place: receipt.deliveries[0].sequence for place, receipt in receipts.items()}
    assert sequences[known] == before.results[0].sequence == 1, "healed: the receipt names where it is"
    assert [sequences[place] for place in odd["duplicate"]] == [sequences[7], sequences[499], sequences[0]]
    new = [place for place in range(1_000) if place not in {place for places in odd.values() for place in places}]
    assert len(new) == 994
    assert [sequences[place] for place in new] == list(range(2, 996))
    stream = [id.replace("-", "") for id in await streamed(nats_url, f"sb-{sender.org}")]
    assert stream == [events[known].id.hex()] + [events[place].id.hex() for place in new]


@pytest.mark.parametrize("first", [-1, 1], ids=["the original first", "the duplicate first"])
async def test_there_is_one_row_when_original_and_duplicate_are_on_two_sides_of_midnight_in_either_order(
    queue: RedisLogQueue, redis_url: str, store: PostgresMessageStore, server: Any, org: str, first: int
) -> None:
    midnight = time.time_ns() // 1_000 // DAY * DAY

    async def rows() -> list[tuple[int, int]]:
        history = await store.history(org, accepted("e1", org=org).message.id)
        return [(row.message.received_at, row.redelivered) for row in history.rows] if history else []

    async def written(*wanted: tuple[int, int]) -> bool:
        return await rows() == list(wanted)

    at, then = midnight + first * 1_000_000, midnight - first * 1_000_000
    async with logging(redis_url, store):
        await queue.append([accepted("e1", org=org, received_at=at)])
        await eventually(lambda: written((at, 0)))
        server.delete(*server.keys(PREFIX + "ids:*"))  # the recent window has passed
        (entry,) = await queue.append([accepted("e1", org=org, received_at=then)])
        assert entry.outcome == "new"
        await eventually(lambda: written((at, 1)))
