"""What a source of a leaf's stream says, and how far it got: as the server's own configuration tells it."""

import msgspec
import pytest

from shared.adapters.nats.comparing import first_missing
from shared.adapters.nats.leaves import Begun, Leaf, number_of, source_of
from shared.domain.registry.streams import Source

ACME = Source("hub", "acme")
API = {"external": {"api": "$JS.hub.API"}}


def leaf(source: dict[str, object], *sources: dict[str, object]) -> Leaf:
    return msgspec.convert({"config": {"sources": [source]}, "sources": list(sources)}, Leaf)


def test_source_is_another_one_to_the_server_when_it_has_another_number() -> None:
    plain, first, second = source_of(ACME), source_of(ACME, Begun(1_001, 5)), source_of(ACME, Begun(1_002, 5))
    assert [number_of(one) for one in (plain, first, second, {})] == [0, 1_001, 1_002, 0]
    assert plain["subject_transforms"] == [{"src": "sb.acme.>", "dest": "sbg.acme.>"}]
    assert first["subject_transforms"] == [{"src": "sb.*.>", "dest": "sbg.{{left(1,1001)}}.>"}]
    assert ("opt_start_seq" in plain, first["opt_start_seq"]) == (False, 5)


@pytest.mark.parametrize(
    ("start", "told", "reached"),
    [
        (0, [], 0),
        (0, [API | {"seq": 7}], 7),
        (5, [API], 4),  # nothing came yet: all before it was there
        (5, [API | {"seq": 9}], 9),
        (5, [{"external": {"api": "$JS.other.API"}, "seq": 9}, API | {"seq": 6}], 6),
        (0, [{"seq": 9}], 0),  # of no domain
    ],
)
def test_leaf_has_all_up_to_what_it_took_last_or_to_where_it_began(start: int, told: list[dict[str, object]], reached: int) -> None:
    assert leaf(source_of(ACME, Begun(1_001, start)), *told).reached("hub") == reached


def test_leaf_has_nothing_of_a_hub_that_it_takes_nothing_from() -> None:
    found = leaf(source_of(ACME, Begun(1_001, 5)))
    assert (found.source("other"), found.reached("other")) == ({}, 0)


@pytest.mark.parametrize(
    ("had", "older_may_be_gone", "missing"),
    [
        (["a", "b", "c", "d"], True, None),
        (["b", "c", "d"], True, None),  # its limits took the oldest
        (["b", "c", "d"], False, 1),
        (["a", "b", "d"], True, 3),
        (["b", "d"], True, 3),
        ([], True, None),
        ([], False, 1),
    ],
)
def test_leaf_lacks_what_is_behind_something_that_it_has(had: list[str], older_may_be_gone: bool, missing: int | None) -> None:
    given = [(place, id.encode()) for place, id in enumerate(["a", "b", "c", "d"], 1)]
    assert first_missing(given, {id.encode() for id in had}, older_may_be_gone=older_may_be_gone) == missing


def test_message_without_an_id_is_nobodys_loss() -> None:
    assert first_missing([(1, b"a"), (2, b""), (3, b"c")], {b"a", b"c"}, older_may_be_gone=False) is None


@pytest.mark.parametrize(("last", "told", "says"), [(0, [], True), (9, [], False), (9, [API | {"seq": 3}], True)])
def test_it_is_not_known_how_far_it_got_when_its_leader_is_new(last: int, told: list[dict[str, object]], says: bool) -> None:
    found = msgspec.structs.replace(leaf(source_of(ACME), *told))
    found.state.last_seq = last
    assert found.says("hub") is says
