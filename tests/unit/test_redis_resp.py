"""Commands as they go over the wire: large arguments in pieces of their own, the same bytes as hiredis makes."""

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.redis import resp

SMALL = st.one_of(st.binary(max_size=5), st.text(max_size=5), st.integers(), st.floats(allow_nan=False))
LARGE = st.sampled_from([b"x" * resp.LARGE, b"\r\n$1" * resp.LARGE, b"y" * (resp.LARGE - 1)])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(SMALL, SMALL, LARGE), min_size=1, max_size=8))
def test_pieces_are_what_hiredis_packs_when_joined(command: list[bytes | str | int | float]) -> None:
    pieces = resp._pieces(command)
    assert b"".join(pieces) == hiredis.pack_command(tuple(command))  # type: ignore[arg-type]
    assert all(pieces), "asyncio doesn't get rid of an empty one"


@pytest.mark.parametrize("size", [resp.LARGE - 1, resp.LARGE])
def test_argument_is_written_as_it_is_when_it_is_large(size: int) -> None:
    argument = b"z" * size
    assert any(piece is argument for piece in resp._pieces(["SET", "key", argument])) == (size >= resp.LARGE)
