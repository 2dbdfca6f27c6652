"""What a source of a leaf's stream says, and how far it got: as the server's own configuration tells it."""

import msgspec
import pytest

from shared.adapters.nats.sourcing import Leaf, number_of, source_of
from shared.domain.registry.streams import Source

ACME = Source("hub", "acme")
API = {"external": {"api": "$JS.hub.API"}}


def leaf(source: dict[str, object], *sources: dict[str, object]) -> Leaf:
    return msgspec.convert({"config": {"sources": [source]}, "sources": list(sources)}, Leaf)


def test_source_is_another_one_to_the_server_when_it_has_another_number() -> None:
    plain, first, second = source_of(ACME), source_of(ACME, 1_001, 5), source_of(ACME, 1_002, 5)
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
    assert leaf(source_of(ACME, 1_001, start), *told).reached("hub") == reached


def test_leaf_has_nothing_of_a_hub_that_it_takes_nothing_from() -> None:
    assert (leaf(source_of(ACME, 1_001, 5)).source("other"), leaf(source_of(ACME, 1_001, 5)).reached("other")) == ({}, 0)
