"""Messages submitted together that lie in different flushes, of several shards or of one: each is told when its own is there, once."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from functions.door import Told
from functions.singles import Singles
from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.domain.errors import Unavailable
from shared.domain.logged import Entry
from shared.domain.message import Message
from shared.domain.record import Accepted
from shared.domain.verdict import Outcome
from shared.ports import Publish
from tests.events import message as message_of
from tests.unit.test_pipeline import ADMIN, Product, receipt, refusal
from tests.waiting import eventually

message = partial(message_of, revision=42)  # as a door stamps it: others are judged by themselves
UNKNOWN = Unavailable("the log did not answer: the outcome is unknown, retry with the same id", retry_after_ms=1000)


class Shards(MemoryLogQueue):
    """A log of a shard a source. Each answers when its `go` is set; those in `away` don't know what became of it then."""

    def __init__(self) -> None:
        super().__init__()
        self.go: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.away: set[str] = set()
        self.closing = False
        self.running: list[asyncio.Task[list[Entry]]] = []

    async def append(self, records: Sequence[Accepted], publish: Publish | None = None) -> list[Entry]:
        assert publish is not None
        shards: dict[str, list[Accepted]] = {}
        for record in records:
            shards.setdefault(record.message.source, []).append(record)
        self.running = [asyncio.create_task(self._append(source, some, publish)) for source, some in shards.items()]
        if self.closing:
            raise Unavailable("shutting down")
        entries = [entry for some in await asyncio.gather(*self.running) for entry in some]
        if all(entry.outcome == "unknown" for entry in entries):
            raise UNKNOWN
        of = {id(entry.message): entry for entry in entries}
        return [of[id(record.message)] for record in records]

    async def _append(self, source: str, records: Sequence[Accepted], publish: Publish) -> list[Entry]:
        await self.go[source].wait()
        if source not in self.away:
            return await super().append(records, publish)
        entries = [Entry("unknown", record.message, (), record.message.revision, 0, 0, 0) for record in records]
        publish(entries)
        return entries


class Apart:
    """What the messages submitted together were told."""

    def __init__(self) -> None:
        self.log = Shards()
        self.product = Product(self.log)
        self.told: dict[int, Any] = {}

    def submit(self, *messages: Message) -> None:
        Singles(self.product.pipeline)(messages, ADMIN, self._tell)

    def _tell(self, places: Sequence[int], told: Told) -> None:
        for at, place in enumerate(places):
            assert place not in self.told, "told twice"
            self.told[place] = told if isinstance(told, Exception) else told[at]

    async def of(self, *places: int) -> list[Outcome]:
        await eventually(lambda: sorted(self.told) == list(places))
        return [self.told[place] for place in places]


@pytest.fixture
async def sent() -> Apart:
    """Its place is known: the first message of one is submitted by itself."""
    sent = Apart()
    sent.log.go["/shop"].set()
    await sent.product.submit(message("first"))
    return sent


async def test_nobody_waits_for_a_shard_of_a_neighbour_s(sent: Apart) -> None:
    sent.submit(message("e1", source="/a"), message("e2", source="/b"), message("e3", source="/a"))
    sent.log.go["/a"].set()
    outcomes = await sent.of(0, 2)
    assert [receipt(outcome).message.event_id for outcome in outcomes] == ["e1", "e3"]
    sent.log.go["/b"].set()
    assert receipt((await sent.of(0, 1, 2))[1]).message.event_id == "e2"


async def test_neighbours_are_accepted_when_a_shard_does_not_answer(sent: Apart) -> None:
    sent.log.away.add("/b")
    sent.submit(message("e1", source="/b"), message("e2", source="/a"), message("e3", source="/b"))
    sent.log.go["/b"].set()
    outcomes = await sent.of(0, 2)
    assert [(refusal(outcome).error.status, refusal(outcome).error.detail) for outcome in outcomes] == [(503, UNKNOWN.detail)] * 2
    sent.log.go["/a"].set()
    assert receipt((await sent.of(0, 1, 2))[1]).message.event_id == "e2"


async def test_each_is_told_once_when_no_shard_answers(sent: Apart) -> None:
    sent.log.away |= {"/a", "/b"}
    messages = [message("e1", source="/a"), message("e2", source="/b")]
    sent.submit(*messages)
    sent.log.go["/a"].set()
    sent.log.go["/b"].set()
    outcomes = await sent.of(0, 1)
    assert [(refusal(outcome).error.status, refusal(outcome).id) for outcome in outcomes] == [(503, one.id) for one in messages]


async def test_each_is_told_once_when_the_log_closes_behind_some_of_them(sent: Apart) -> None:
    """What is in a flush already is written, and published; its sender was told that nobody knows."""
    sent.log.closing = True
    sent.submit(message("e1", source="/a"), message("e2", source="/b"))
    assert [refusal(outcome).error.detail for outcome in await sent.of(0, 1)] == ["shutting down"] * 2
    sent.log.go["/a"].set()
    sent.log.go["/b"].set()
    await asyncio.gather(*sent.log.running)
    await eventually(lambda: len(sent.product.stream.taken) == 3)
    assert len(sent.product.logged()) == 3
