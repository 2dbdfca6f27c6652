"""What is new goes its way as a run: senders, streams and the log see what they saw when each message had an Entry of its own."""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.pipeline import Pipeline
from shared.adapters.memory.backbones import MemoryBackbones
from shared.adapters.redis import batch, flusher, log_queue
from shared.adapters.redis.log_queue import RedisLogQueue
from shared.domain import logged
from shared.domain.errors import Unavailable
from shared.domain.logged import Entry
from shared.domain.publishing import InARow, Outgoing, PublishedGroup
from shared.domain.record import Accepted, Deliveries, unpack_flush
from shared.domain.verdict import Outcome, Receipt
from tests.compiled import in_python
from tests.events import message
from tests.unit.test_pipeline import State, Store

_meta = struct.Struct(">16s32sHHII")
BACKBONES = ("a", "b")


class Shard:
    """A Link to one shard of the log, whose flush script is this class: identities, who is waited for, gates, an epoch."""

    def __init__(self) -> None:
        self.skew = self.number = self.epoch = 0
        self.gates: dict[str, str] = {}
        self.fails = ""  # the next flush with messages: `before` it is written down, or `after`
        self.pending: set[tuple[str, int, int]] = set()
        self.retries: list[tuple[str, str]] = []
        self.held: set[str] = set()
        self.told: list[Deliveries] = []
        self._ids: dict[bytes, bytes] = {}

    async def connect(self) -> None: ...
    async def close(self) -> None: ...
    async def one(self, *command: object) -> None: ...

    def lose(self) -> None:
        """The log begins again."""
        self.epoch, self.number, self.pending, self._ids = self.epoch + 1, 0, set(), {}

    async def run(self, script: object, prefix: str, *arguments: Any, then: Sequence[Any] = ()) -> list[Any]:
        await asyncio.sleep(0)
        meta, count, _, _, targets, packed, _, _, _, told, _ = arguments
        fails, self.fails = (self.fails, "") if count else ("", self.fails)
        if fails == "before":
            raise Unavailable("no answer")
        self._apply(msgspec.msgpack.decode(told))
        if packed:
            self.number += 1
            head = struct.pack(">BIIH", 1, 0, 0, count) + b"n" * count
            self.told += [one for one in unpack_flush(self.number, head + packed).records if isinstance(one, Deliveries)]
        mask, hits = self._logged(meta, count, targets.split("\n"))
        if fails:
            raise Unavailable("no answer")
        gates = [text.encode() for gate in self.gates.items() for text in gate]
        self.gates = {backbone: gate for backbone, gate in self.gates.items() if gate != "closing"}  # then it is open
        return [[self.number, 0, 0, mask, hits, gates, b"%d" % self.epoch], [1, 1]]

    def _apply(self, told: dict[str, Any]) -> None:
        self.held.update(told["hold"])
        if told["epoch"] != str(self.epoch):
            return
        self.retries += [(backbone, member.split(":")[3]) for backbone, member, _ in told["retry"]]
        for backbone, *numbers in told["whole"]:
            self.pending = {one for one in self.pending if one[0] != backbone or str(one[1]) not in numbers}
        for backbone, number, indexes in told["part"]:
            self.pending -= {(backbone, int(number), index) for index in indexes}

    def _logged(self, meta: bytes, count: int, targets: Sequence[str]) -> tuple[bytes, list[bytes]]:
        mask, hits = b"", list[bytes]()
        for index in range(count):
            id, digest, _, to, _, revision = _meta.unpack_from(meta, index * _meta.size)
            if (known := self._ids.get(id)) is not None:
                mask, hits = mask + (b"d" if known[:32] == digest else b"c"), [*hits, known]
                continue
            mask += b"n"
            self._ids[id] = digest + struct.pack(">IIQH", revision, 0, self.number, index) + targets[to].encode()
            self.pending |= {(backbone, self.number, index) for backbone in targets[to].split(",") if backbone}
        return mask, hits


class Streams(MemoryBackbones):
    """Memory's, which tell of a row where there is one, as those of NATS do."""

    async def publish(self, backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        await asyncio.sleep(0)
        made = await super().publish(backbone, org, group)
        if all(one.sequence and not one.duplicate for one in made.results):
            first = made.results[0].sequence
            return msgspec.structs.replace(made, results=InARow(range(first, first + len(group))))
        return made


class Round(msgspec.Struct, frozen=True):
    """What is sent at once: appends, each of (event id, source, org, targets, body); and how servers are meanwhile."""

    appends: list[list[tuple[str, str, str, tuple[str, ...], bytes]]]
    fails: str = ""
    lost: bool = False
    gates: dict[str, str] = {}
    down: frozenset[str] = frozenset()
    late: bool = False  # what was logged has waited too long to be published by its door


def record(id: str, source: str, org: str, targets: tuple[str, ...], body: bytes) -> Accepted:
    """A record of a message, which says why where it goes nowhere."""
    one = message(id, source=source, org=org, body=body, received_at=1, revision=7)
    return Accepted(one, targets, None if targets else "no-route")


async def outcomes_of(pipeline: Pipeline, records: list[Accepted]) -> list[Any]:
    made: Sequence[Outcome] = await pipeline._accept(records)
    return [
        (one.message.event_id, one.revision, one.duplicate, one.deliveries) if isinstance(one, Receipt) else str(one.error) for one in made
    ]


async def ran(rounds: Sequence[Round], shards: int, refused: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What everybody saw of these rounds."""
    queue, streams, links = RedisLogQueue("redis://nowhere", shards=shards), Streams(BACKBONES), [Shard() for _ in range(shards)]
    streams.refuse = dict.fromkeys(refused, "no")
    queue._reader = links[0]  # type: ignore[assignment]
    for one, link in zip(queue._flushers, links, strict=True):
        one._link = link  # type: ignore[assignment]
        await one.start()
    pipeline, outcomes = Pipeline.inline(queue, streams, State(), Store()), []  # type: ignore[arg-type]
    for each in rounds:
        streams.down, log_queue.RELAYS_AFTER_S = set(each.down), -1 if each.late else inf
        for link in links:
            link.fails, link.gates = each.fails, dict(each.gates)
            if each.lost:
                link.lose()
        appends = [[record(*one) for one in some] for some in each.appends]
        outcomes.append(await asyncio.gather(*(outcomes_of(pipeline, some) for some in appends)))
    for one in queue._flushers:
        await one.stop()
    told = [
        (one.org, one.backbone, one.ids[at * 16 : at * 16 + 16], one.subjects[at], one.sequences[at], one.error)
        for link in links
        for one in link.told
        for at in range(len(one.sequences))
    ]
    return {
        "outcomes": outcomes,
        "stored": {place: stream.stored for place, stream in streams.streams.items()},
        "pending": [{backbone for backbone, *_ in link.pending} for link in links],
        "still out": [len(link.pending) for link in links],
        "retries": [sorted(link.retries) for link in links],
        "held": [link.held for link in links],
        "told": sorted(told, key=repr),
    }


def each_an_entry(self: batch.Batch, places: Sequence[int], alike: bool, records: Sequence[Accepted], shard: int) -> Sequence[Entry]:
    """How it was: a list, whatever the log said."""
    return [self._entry(place, record, shard) for place, record in zip(places, records, strict=True)]


@pytest.fixture(autouse=True)
def _impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flusher, "PAUSE_S", 0)
        patch.setattr(flusher, "IDLE_S", 0)
        patch.setattr(flusher, "SKEW_US", 2**62)
        patch.setattr(log_queue, "RELAYS_AFTER_S", inf)
        yield


EVENTS = st.tuples(
    st.sampled_from([f"e{number}" for number in range(12)]),
    st.sampled_from(["/shop", "/till", "/web"]),
    st.sampled_from(["acme", "acme", "acme", "other"]),
    st.sampled_from([("a",), ("a",), ("a",), ("b",), ("a", "b"), ()]),
    st.sampled_from([b"{}", b"{}", b"{}", b"[]"]),
)
ROUNDS = st.builds(
    Round,
    st.lists(st.lists(EVENTS, min_size=1, max_size=5), min_size=1, max_size=4),
    st.sampled_from(["", "", "", "before", "after"]),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([{}, {}, {"a": "held 1"}, {"b": "held 1"}, {"a": "closing"}]),
    st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"a"})]),
    st.sampled_from([False, False, False, True]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(ROUNDS, min_size=1, max_size=4), st.sampled_from([1, 1, 3]), st.frozensets(st.sampled_from(["e1", "e2"])))
def test_everybody_sees_the_same_when_what_is_new_is_a_run(rounds: list[Round], shards: int, refused: frozenset[str]) -> None:
    made = asyncio.run(ran(rounds, shards, refused))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch.Batch, "entries", each_an_entry)
        assert made == asyncio.run(ran(rounds, shards, refused))
    with in_python():
        assert made == asyncio.run(ran(rounds, shards, refused))


def sent(*events: tuple[str, str], to: tuple[str, ...] = ("a",)) -> Round:
    return Round([[(id, source, "acme", to, b"{}") for id, source in events]])


async def test_each_message_has_its_own_receipt_when_one_array_lies_in_several_shards() -> None:
    events = [(f"e{number}", f"/shop-{number}") for number in range(20)]
    saw = await ran([sent(*events)], shards=3)
    ((outcomes,),) = saw["outcomes"]
    assert [(id, duplicate, [one.backbone for one in deliveries if one.sequence]) for id, _, duplicate, deliveries in outcomes] == [
        (id, False, ["a"]) for id, _ in events
    ]
    assert saw["still out"] == [0, 0, 0]


async def test_entries_are_made_once_when_a_message_goes_to_several_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0

    def counted(*values: Any) -> Entry:
        nonlocal made
        made += 1
        return Entry(*values)

    monkeypatch.setattr(logged, "Entry", counted)
    await ran([sent(*((f"e{number}", "/shop") for number in range(200)), to=BACKBONES)], shards=1)
    assert made == 200
