"""Sessions that were signed out: none is ever taken again, and of a key only so many are remembered."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Malformed
from shared.domain.sessions import APART, LIFETIME, Session, encode, ending, is_over, named_by, read_session

KEY = b"k" * 32
NOW = 1_800_000_000


def session(number: int, expires: int = NOW, key: bytes = KEY) -> Session:
    return Session(key, expires, number.to_bytes(16, "big"))


def ended(sessions: list[Session]) -> dict[str, int]:
    """What is kept of one key after all of them were signed out, in this order."""
    kept: dict[str, int] = {}
    for one in sessions:
        for path, expires in ending(kept, one).items():
            kept.pop(path, None)
            if expires is not None:
                kept[path] = expires
    return kept


def known(kept: dict[str, int]) -> dict[bytes, int]:
    return {named_by(path): expires for path, expires in kept.items()}


@given(st.lists(st.tuples(st.integers(0, 2**32), st.integers(NOW, NOW + LIFETIME)), max_size=150))
def test_every_session_that_was_signed_out_is_over_and_few_are_kept(said: list[tuple[int, int]]) -> None:
    sessions = [session(number, expires) for number, expires in said]
    kept = ended(sessions)
    assert len(kept) <= APART + 1
    assert all(is_over(known(kept), one) for one in sessions)
    later = max((expires for _, expires in said), default=NOW) + 1
    assert not is_over(known(kept), session(2**40, later))
    assert not is_over(known(kept), session(2**40, NOW, key=b"o" * 32))


def test_others_of_the_key_stay_signed_in_when_few_were_signed_out() -> None:
    assert not is_over(known(ended([session(number) for number in range(APART)])), session(APART))


def test_nothing_changes_when_it_is_signed_out_again() -> None:
    kept = ended([session(number, NOW + number) for number in range(APART + 1)])
    assert len(kept) == 1
    for over in (session(0), session(7, NOW + 7), session(99, NOW + 5)):
        assert ending(kept, over) == {}
    assert ending(ended([session(1)]), session(1)) == {}


def test_session_is_read_as_it_was_written() -> None:
    assert read_session(encode(session(1)), NOW) == session(1)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        encode(session(1))[:-1],
        encode(Session(b"k" * 31, NOW, bytes(16))),
        encode(Session(KEY, NOW, bytes(15))),
        encode(Session(KEY, -1, bytes(16))),
        encode(Session(KEY, NOW + 2 * LIFETIME, bytes(16))),
        encode(Session(KEY, 2**63, bytes(16))),
        msgspec.msgpack.encode([KEY, 1.5, bytes(16)]),
    ],
)
def test_session_is_refused_when_it_is_none(packed: bytes) -> None:
    with pytest.raises(Malformed):
        read_session(packed, NOW)
