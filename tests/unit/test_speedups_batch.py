"""A flush is collected the same in C as in Python, or C leaves all of those records to it, and has noted none."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.redis.batch import Batch
from shared.domain.feed import FEED_BODY
from shared.domain.record import Accepted
from tests.compiled import came_to, compiled, in_python, same
from tests.events import accepted

ODD: list[dict[str, Any]] = [
    {"id": b"short"},
    {"id": bytearray(16)},
    {"digest": b"d" * 31},
    {"revision": 2**32},
    {"revision": -1},
    {"revision": True},
    {"body": "text"},
    {"body": bytearray(b"{}")},
    {"org": b"acme"},
]


def changed(record: Accepted, **changes: Any) -> Accepted:
    """The record of a message that has something else."""
    return msgspec.structs.replace(record, message=msgspec.structs.replace(record.message, **changes))


RECORDS = st.builds(
    changed,
    st.builds(
        accepted,
        st.sampled_from(["e1", "e2", "e3", "e4"]),
        targets=st.sampled_from([("local",), ("eu", "local"), ()]),
        body=st.sampled_from([None, b"{}", b"x" * (FEED_BODY - 400), b"x" * (FEED_BODY - 399)]),
        org=st.sampled_from(["acme", "other"]),
    ),
    revision=st.sampled_from([0, 7, 2**32 - 1]),
)


def noted(groups: list[Any]) -> tuple[Any, ...]:
    """What each add() comes to, and the flush then."""
    batch = Batch()
    answers = [came_to(batch.add, group) for group in groups]
    arguments = came_to(batch.arguments, [], 1 << 30, b"", "e")
    return answers, batch.size, batch.records, batch._places, batch._orgs, batch._targets, arguments


def alike(groups: list[Any]) -> tuple[Any, ...]:
    made = noted(groups)
    with in_python():
        reference = noted(groups)
    assert same(made, reference)
    return made


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(RECORDS, max_size=6), max_size=4))
def test_flush_is_the_same_in_c_when_records_are_usual(groups: list[list[Accepted]]) -> None:
    alike(groups)
    assert all(compiled().add(group, {}, [], bytearray(), {}, {}) is not None for group in groups)


def test_equal_identities_share_a_place_when_c_adds_them() -> None:
    one, other = accepted("e1"), accepted("e2")
    answers, *_ = alike([[one, other, one], (other,), []])
    assert answers == [([0, 1, -1], True), ([-2], True), ([], True)]


@pytest.mark.parametrize("other", [accepted("e2", org="other"), accepted("e2", targets=("eu",))], ids=["org", "targets"])
def test_records_are_not_alike_when_org_or_backbones_differ(other: Accepted) -> None:
    answers, *_ = alike([[accepted("e1"), other], [other, accepted("e3")]])
    assert answers == [([0, 1], False), ([-2, 2], True)]


@pytest.mark.parametrize("odd", ODD, ids=[str(odd) for odd in ODD])
def test_nothing_is_noted_in_c_when_one_of_the_records_is_odd(odd: dict[str, Any]) -> None:
    group = [accepted("e1"), changed(accepted("e2"), **odd), accepted("e3")]
    made: tuple[Any, ...] = ({}, [], bytearray(), {}, {})
    assert compiled().add(group, *made) is None
    assert made == ({}, [], bytearray(), {}, {})
    with in_python():
        reference = noted([group])
    assert same(noted([group])[0], reference[0])


def test_orgs_are_left_to_python_when_their_numbers_could_run_out() -> None:
    assert compiled().add([accepted("e1")], {}, [], bytearray(), dict.fromkeys(map(str, range(65_535)), 0), {}) is None
    assert compiled().add([accepted("e1")], {}, [], bytearray(), {}, dict.fromkeys(range(65_535), 0)) is None


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ([], {}, [], bytearray(), {}),
        ([], {}, (), bytearray(), {}, {}),
        ([], {}, [], [], {}, {}),
        ([], [], [], bytearray(), {}, {}),
        ([], {}, [], bytearray(), {}, None),
    ],
)
def test_add_says_what_it_wants_when_it_is_given_something_else(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="records, a dict"):
        compiled().add(*arguments)
    assert compiled().add(5, {}, [], bytearray(), {}, {}) is None
