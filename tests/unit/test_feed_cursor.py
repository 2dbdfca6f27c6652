"""The feed's cursor: it says exactly where a client is, and only we can have written it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.websocket.cursor import Cursor, Position, seal, unseal
from shared.domain.errors import Malformed

KEY, OLD = b"k" * 32, b"o" * 32

positions = st.builds(Position, st.text(max_size=20), st.integers(0, 2**63), st.integers(0, 10**6))
cursors = st.builds(Cursor, st.lists(positions, max_size=5).map(tuple), st.integers(0, 2**53))


@given(cursors)
def test_cursor_is_what_it_was_when_it_comes_back(cursor: Cursor) -> None:
    assert unseal(seal(cursor, [KEY]), [KEY]) == cursor


def test_cursor_is_good_when_its_key_no_longer_signs() -> None:
    cursor = Cursor((Position("e", 3),), 1)
    assert unseal(seal(cursor, [OLD]), [KEY, OLD]) == cursor


@given(st.text(max_size=100))
def test_text_that_nobody_signed_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        unseal(text, [KEY])


@given(cursors, st.integers(0, 10_000), st.sampled_from("AZaz09-_"))
def test_cursor_is_refused_when_a_character_was_changed(cursor: Cursor, place: int, letter: str) -> None:
    text = seal(cursor, [KEY])
    place %= len(text) - 1  # the last character may hold bits that mean nothing
    changed = text[:place] + letter + text[place + 1 :]
    if changed != text:
        with pytest.raises(Malformed):
            unseal(changed, [KEY])


def test_cursor_is_refused_when_another_install_signed_it() -> None:
    with pytest.raises(Malformed):
        unseal(seal(Cursor(()), [OLD]), [KEY])
