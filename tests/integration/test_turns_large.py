"""A turn that brings more than one flush takes, on a real log: each is written once, and told so once."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from functions.door import Told
from functions.pipeline import Pipeline
from functions.singles import Singles
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.domain.message import Message
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Receipt, Refusal
from tests.events import message as message_of
from tests.unit.test_pipeline import ADMIN, Store, Stream
from tests.waiting import eventually

message = partial(message_of, revision=42)  # as a door stamps it: others are judged by themselves


class State:
    current = Snapshot(revision=42, keys={}, documents={})


class Turns:
    """What is submitted together, on a log, and what each was told."""

    def __init__(self, queue: RedisLogQueue) -> None:
        self.stream = Stream()
        self.pipeline = Pipeline.inline(queue, self.stream, State(), Store())  # type: ignore[arg-type]
        self.singles = Singles(self.pipeline)

    async def submit(self, messages: Sequence[Message]) -> list[Any]:
        """The outcome of each, in order."""
        outcomes: dict[int, Any] = {}

        def tell(places: Sequence[int], told: Told) -> None:
            assert not isinstance(told, Exception), told
            for place, outcome in zip(places, told, strict=True):
                assert place not in outcomes, "told twice"
                outcomes[place] = outcome

        self.singles(messages, ADMIN, tell)
        await eventually(lambda: len(outcomes) == len(messages))
        return [outcomes[place] for place in range(len(messages))]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(("count", "size"), [(2_500, 10), (60, 200_000)], ids=["many", "large"])
async def test_each_is_told_its_own_when_a_turn_is_more_than_a_flush_takes(redis_url: str, shards: int, count: int, size: int) -> None:
    queue = RedisLogQueue(redis_url, shards=shards, wait_ms=20_000)
    await queue.start()
    try:
        turns = Turns(queue)
        await turns.submit([message("first")])
        sent = [message(f"e{number}", source=f"/s{number % 5}", body=b"x" * size) for number in range(count)]
        outcomes = await turns.submit(sent)
        assert [type(outcome) for outcome in outcomes] == [Receipt] * count
        assert [outcome.message.id for outcome in outcomes] == [one.id for one in sent]
        assert not any(outcome.duplicate for outcome in outcomes)
        for one, outcome in zip(sent, outcomes, strict=True):
            assert outcome.deliveries[0].sequence == turns.stream.taken[one.id]
        again = [*sent[::2], *(message(one.event_id, source=one.source, body=b"other") for one in sent[1::2])]
        outcomes = await turns.submit(again)
        assert [type(outcome) for outcome in outcomes] == [Receipt] * len(sent[::2]) + [Refusal] * len(sent[1::2])
        assert all(outcome.duplicate for outcome in outcomes[: len(sent[::2])])
        assert len(turns.stream.taken) == count + 1
    finally:
        await queue.stop()
