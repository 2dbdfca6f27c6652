"""A list's cursor belongs to one org and one set of filters, and can't be made by anybody else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.query.cursor import Cursor, seal, unseal
from shared.domain.errors import Malformed

KEYS = (b"k" * 32,)
FILTERS = {"topic": "orders.>", "since": "15m"}
CURSOR = Cursor(1_767_268_800_000_000, bytes(range(16)), 1_767_268_000_000_000)


@given(
    st.builds(Cursor, st.integers(0, 2**53), st.binary(min_size=16, max_size=16), st.none() | st.integers(0, 2**53)),
    st.text(),
    st.dictionaries(st.text(), st.text(), max_size=4),
)
def test_cursor_comes_back_when_org_and_filters_are_the_same(cursor: Cursor, org: str, filters: dict[str, str]) -> None:
    assert unseal(seal(cursor, org, filters, KEYS), org, filters, KEYS) == cursor


@pytest.mark.parametrize(
    ("org", "filters"),
    [("globex", FILTERS), ("acme", {}), ("acme", FILTERS | {"topic": "pay.>"}), ("acme", FILTERS | {"subject": "x"})],
)
def test_cursor_is_refused_when_it_is_taken_to_another_query(org: str, filters: dict[str, str]) -> None:
    with pytest.raises(Malformed) as refused:
        unseal(seal(CURSOR, "acme", FILTERS, KEYS), org, filters, KEYS)
    assert refused.value.faults[0].pointer == "cursor"


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_cursor_is_refused_when_any_byte_was_changed(place: int, change: int) -> None:
    sealed = bytearray(base64.urlsafe_b64decode(seal(CURSOR, "acme", FILTERS, KEYS) + "=="))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(Malformed):
        unseal(base64.urlsafe_b64encode(sealed).rstrip(b"=").decode(), "acme", FILTERS, KEYS)


@given(st.text())
def test_cursor_is_refused_when_it_was_made_up(text: str) -> None:
    with pytest.raises(Malformed):
        unseal(text, "acme", FILTERS, KEYS)


def test_old_cursor_is_taken_when_the_signing_key_was_rotated() -> None:
    old, new = b"o" * 32, b"n" * 32
    assert unseal(seal(CURSOR, "acme", FILTERS, [old]), "acme", FILTERS, [new, old]) == CURSOR
    with pytest.raises(Malformed):
        unseal(seal(CURSOR, "acme", FILTERS, [old]), "acme", FILTERS, [new])
