"""Nobody grants more than they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.authority import covers, holds_all
from shared.domain.names import matches
from shared.domain.principal import Grant

tokens = st.sampled_from(["a", "b", "*"])
patterns = st.builds(
    lambda head, tail: ".".join(head + tail), st.lists(tokens, min_size=1, max_size=3), st.sampled_from([[], [">"]])
) | st.just(">")
topics = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5).map(".".join)


@given(patterns, patterns, topics)
def test_pattern_covers_no_topic_less_when_it_covers_a_pattern(wide: str, narrow: str, topic: str) -> None:
    if covers(wide, narrow) and matches(narrow, topic):
        assert matches(wide, topic)


@pytest.mark.parametrize(
    ("wide", "narrow"), [(">", "a"), (">", ">"), ("*", "a"), ("a.>", "a.b.>"), ("a.>", "a.*"), ("a.*.c", "a.b.c"), ("a.b", "a.b")]
)
def test_pattern_covers_when_the_other_is_narrower(wide: str, narrow: str) -> None:
    assert covers(wide, narrow)


@pytest.mark.parametrize(
    ("wide", "narrow"), [("a", ">"), ("*", ">"), ("a.*", "a.>"), ("a.>", "a"), ("a.b", "a"), ("a", "a.b"), ("a.b.*", "a.*.c")]
)
def test_pattern_does_not_cover_when_the_other_has_more(wide: str, narrow: str) -> None:
    assert not covers(wide, narrow)


ADMIN = Grant("admin")
ORDERS = Grant("publish", ("orders.>",), ("agent-7", "agent-8"))


@pytest.mark.parametrize("wanted", [ADMIN, ORDERS, Grant("config:write"), Grant("publish", (">",), (">",))])
def test_unlimited_admin_may_grant_anything(wanted: Grant) -> None:
    assert holds_all([ADMIN], [wanted])


@pytest.mark.parametrize("wanted", [ORDERS, Grant("publish", ("orders.eu.*", "orders.us"), ("agent-8",))])
def test_holder_may_grant_when_it_is_a_part_of_what_they_hold(wanted: Grant) -> None:
    assert holds_all([ORDERS], [wanted])


@pytest.mark.parametrize(
    "wanted",
    [
        Grant("read", ("orders.>",), ("agent-7",)),
        Grant("publish", (">",), ("agent-7",)),
        Grant("publish", ("orders.>",)),
        Grant("publish", ("orders.a", "pay.a"), ("agent-7",)),
        ADMIN,
    ],
)
def test_holder_may_not_grant_when_it_is_more_than_they_hold(wanted: Grant) -> None:
    assert not holds_all([ORDERS, Grant("config:write")], [wanted])


def test_topics_of_one_grant_do_not_lend_subjects_of_another() -> None:
    held = [Grant("publish", ("a",), ("x",)), Grant("publish", ("b",), ("y",))]
    assert not holds_all(held, [Grant("publish", ("a", "b"), ("x", "y"))])
    assert holds_all(held, [Grant("publish", ("a",), ("x",)), Grant("publish", ("b",), ("y",))])


def test_limited_admin_grants_only_inside_its_limits() -> None:
    held = [Grant("admin", ("orders.>",))]
    assert holds_all(held, [Grant("read", ("orders.eu",))])
    assert not holds_all(held, [Grant("admin")])
