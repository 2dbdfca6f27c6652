"""Nobody grants more than they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import authority
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


some = st.lists(
    st.builds(
        Grant,
        st.sampled_from(["read", "publish", "admin"]),
        st.lists(patterns, min_size=1, max_size=3).map(tuple),
        st.lists(st.sampled_from(["x", "y", "*", ">"]), min_size=1, max_size=2).map(tuple),
    ),
    max_size=3,
)


@given(some, some)
def test_answer_is_that_of_asking_pair_by_pair(held: list[Grant], wanted: list[Grant]) -> None:
    def holds(want: Grant, topic: str, subject: str) -> bool:
        return any(
            grant.action in (want.action, "admin")
            and any(covers(pattern, topic) for pattern in grant.topics)
            and any(pattern in ("*", ">", subject) for pattern in grant.subjects)
            for grant in held
        )

    said = all(holds(want, topic, subject) for want in wanted for topic in want.topics for subject in want.subjects)
    assert holds_all(held, wanted) == said


def test_each_topic_is_compared_once_with_each_pattern_when_there_are_many_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def counted(wide: str, narrow: str) -> bool:
        nonlocal compared
        compared += 1
        return covers(wide, narrow)

    monkeypatch.setattr(authority, "covers", counted)
    grants = [Grant("config:write", tuple(f"{at}.{one}.*" for one in range(5)), ("x", "y")) for at in range(20)]
    assert holds_all(grants, grants)
    assert compared == 100 * 100
