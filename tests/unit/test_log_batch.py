"""log_batch: one poison record among good ones, flushes nobody can read, and the batch on the wire."""

from collections.abc import Sequence

import pytest

from functions.log_batch.handler import handle, handle_from
from functions.log_batch.known import bodies
from shared.adapters.memory.feed import MemoryFeedReader, MemoryFeedWriter
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.errors import Malformed, NotProcessable, Unauthenticated, Unavailable
from shared.domain.logged import Unreadable
from shared.domain.record import Accepted, Flush, pack_flush, pack_records, unpack_flush
from shared.stages.known import Bodies, WantedBodies
from shared.stages.rows import check_proof, cluster_of, pack_batch, packed, proof_of, source_of, split, unpack_batch
from tests.events import accepted, attempt


class PickyStore:
    """Takes whole batches, and none with a record of a refused event id in it; `down` makes it unavailable."""

    def __init__(self, *poison: str, down: bool = False) -> None:
        self.poison = set(poison)
        self.down = down
        self.rows: list[str] = []
        self.aside: list[tuple[int, int, bytes, str]] = []
        self.writes = 0

    async def write(self, shard: int, flushes: Sequence[Flush], cluster: str | None = None) -> None:
        if self.down:
            raise Unavailable("the store is down")
        self.writes += 1
        ids = [record.message.event_id for flush in flushes for _, record in flush.new() if isinstance(record, Accepted)]
        if self.poison & set(ids):
            raise NotProcessable("a NUL in a text")
        self.rows += ids

    async def quarantine(self, shard: int, flush: int, index: int, packed: bytes, reason: str, cluster: str | None = None) -> None:
        self.aside.append((flush, index, packed, reason))


def flush(number: int, *ids: str, mask: bytes | None = None) -> Flush:
    return Flush(number, 1, mask if mask is not None else b"n" * len(ids), [accepted(id) for id in ids])


async def test_a_batch_is_one_write_when_nothing_is_wrong() -> None:
    store = PickyStore()
    await handle(0, [flush(1, "a", "b"), flush(2, "c")], store)  # type: ignore[arg-type]
    assert (store.rows, store.writes) == (["a", "b", "c"], 1)


async def test_neighbours_are_written_when_a_record_is_poison() -> None:
    store = PickyStore("c5")
    flushes = [flush(number, *(f"{name}{place}" for place in range(10))) for number, name in enumerate("abcde", 1)]
    await handle(0, flushes, store)  # type: ignore[arg-type]
    assert sorted(store.rows) == sorted(f"{name}{place}" for name in "abcde" for place in range(10) if (name, place) != ("c", 5))
    ((number, index, packed, reason),) = store.aside
    assert (number, index, reason) == (3, 5, "a NUL in a text")
    assert packed == pack_records([flushes[2].records[5]])


async def test_every_poison_record_is_put_aside_when_there_are_several() -> None:
    store = PickyStore("a0", "a1", "b9")
    await handle(0, [flush(1, *(f"a{n}" for n in range(10))), flush(2, *(f"b{n}" for n in range(10)))], store)  # type: ignore[arg-type]
    assert [(number, index) for number, index, _, _ in store.aside] == [(1, 0), (1, 1), (2, 9)]
    assert len(store.rows) == 17


async def test_duplicates_are_not_written_when_their_flush_is_split() -> None:
    store = PickyStore("b")
    await handle(0, [flush(1, "a", "b", "twice", "d", mask=b"nndn")], store)  # type: ignore[arg-type]
    assert store.rows == ["a", "d"]


async def test_nothing_is_put_aside_when_the_store_is_down() -> None:
    store = PickyStore(down=True)
    with pytest.raises(Unavailable):
        await handle(0, [flush(1, "a")], store)  # type: ignore[arg-type]
    assert store.aside == []


async def test_a_flush_is_put_aside_with_its_bytes_when_it_cannot_be_read() -> None:
    store = PickyStore()
    await handle(0, [flush(1, "a"), Unreadable(2, b"\xff", "version 255")], store)  # type: ignore[arg-type]
    assert store.rows == ["a"]
    assert store.aside == [(2, 0, b"\xff", "version 255")]


def test_flushes_come_back_as_they_were_when_packed_as_a_batch() -> None:
    packed = [(number, pack_flush(5, b"n", pack_records([accepted(f"e{number}")]))) for number in (7, 8)]
    assert unpack_batch(pack_batch(packed)) == [unpack_flush(number, each) for number, each in packed]


def test_a_flush_of_another_version_is_unreadable_and_its_neighbour_is_not() -> None:
    good = pack_flush(5, b"n", pack_records([accepted()]))
    bad, fine = unpack_batch(pack_batch([(1, b"\x09" + good[1:]), (2, good)]))
    assert isinstance(bad, Unreadable)
    assert isinstance(fine, Flush)


@pytest.mark.parametrize("cut", [1, 11, 13])
def test_a_batch_is_malformed_when_it_ends_early(cut: int) -> None:
    with pytest.raises(Malformed):
        unpack_batch(pack_batch([(1, b"0123456789")])[:cut])


def test_a_proof_holds_for_its_cluster_shard_and_body_alone() -> None:
    keys, ours, other = (b"new" * 16, b"old" * 16), source_of("here"), source_of("there")
    check_proof(keys, ours, 3, b"body", proof_of(keys[1], ours, 3, b"body"))
    right = proof_of(keys[0], ours, 3, b"body")
    wrong = ((ours, 4, b"body", right), (other, 3, b"body", right), (ours, 3, b"other", right), (ours, 3, b"body", "é"))
    for source, shard, body, proof in (*wrong, (ours, 3, b"body", "")):
        with pytest.raises(Unauthenticated):
            check_proof(keys, source, shard, body, proof)


@pytest.mark.parametrize(
    "source", ["", "/s", "/clusters//logger", "/clusters/A/logger", "/clusters/a/ingest", f"/clusters/{'a' * 41}/logger"]
)
def test_a_batch_is_malformed_when_its_source_names_no_cluster(source: str) -> None:
    assert cluster_of(source_of("eu-1")) == "eu-1"
    with pytest.raises(Malformed, match="source"):
        cluster_of(source)


async def test_what_another_cluster_logged_is_shown_once_when_its_batch_comes_twice() -> None:
    store, reader = MemoryMessageStore(), MemoryFeedReader()
    writer = MemoryFeedWriter(reader)
    flush = Flush(1, 1_800_000_000_000_000, b"n", [accepted("e1")])
    for _ in range(2):
        await handle_from("edge", 0, [flush, Unreadable(2, b"?", "no flush")], store, writer)
    _, shown = await reader.follow([0], 1)
    assert [(row.message.event_id, len(shown), shown[0].number) for row in store.rows] == [("e1", 1, 1)]
    assert [one[1] for one in store.quarantined] == [2]


async def test_nothing_is_committed_when_the_feed_can_t_be_written_to() -> None:
    """What is committed and not shown comes again, and the store knows it again only for a quarter of an hour."""

    class Away(MemoryFeedWriter):
        async def ready(self) -> None:
            raise Unavailable("the feed is away")

    store = MemoryMessageStore()
    with pytest.raises(Unavailable):
        await handle_from("edge", 0, [Flush(1, 1, b"n", [accepted("e1")])], store, Away(MemoryFeedReader()))
    assert store.rows == []


async def test_answer_has_bounds_and_says_what_was_looked_for_when_bodies_are_large() -> None:
    store = MemoryMessageStore()
    records = [accepted(f"e{number}", body=b"x" * 1_000_000) for number in range(40)]
    await store.write(0, [Flush(1, 1, b"n" * 40, records)])
    wanted = tuple((record.message.id, 1) for record in records)
    answer = await bodies(WantedBodies(wanted), store)
    assert answer.answered == 32  # two looks of sixteen: the first had less than an answer may
    assert [place for place, _ in answer.found] == list(range(32))
    assert (await bodies(WantedBodies(((b"?" * 16, None),)), store)) == Bodies(1, ())


def test_flush_has_the_bytes_of_the_log_when_it_is_packed_again() -> None:
    bytes_of_the_log = pack_flush(1_800_000_000_000_000, b"nd", pack_records([accepted("e1"), accepted("e2"), attempt("e3")]))
    assert packed(unpack_flush(7, bytes_of_the_log)).packed == bytes_of_the_log
    assert packed(Unreadable(7, b"?", "")).packed == b"?"


async def test_every_new_record_is_written_once_under_its_index_when_a_flush_is_split() -> None:
    records = [accepted(f"e{number}") for number in range(7)]
    whole = unpack_flush(7, pack_flush(1_800_000_000_000_000, b"nndnncn", pack_records([*records, attempt("a")])))
    parts = [packed(whole)]
    while any(split(part) != [part] for part in parts):
        parts = [half for part in parts for half in split(part)]
    assert len({part.packed for part in parts}) == 6, "no two parts are the same flush to the store"
    store = PickyStore()
    found = []
    for part in parts:
        (taken,) = unpack_batch(pack_batch([(part.number, part.packed)]))
        assert isinstance(taken, Flush)
        found += list(taken.new())
        await handle(0, [taken], store)  # type: ignore[arg-type]
    assert found == list(whole.new())
    assert store.rows == ["e0", "e1", "e3", "e4", "e6"]


def test_what_can_t_be_read_gets_shorter_when_it_is_too_large() -> None:
    (half,) = split(packed(Unreadable(7, b"?" * 100, "")))
    assert (half.number, half.packed) == (7, b"?" * 50)
