"""`sbproof`: whatever a claim says otherwise is another proof, and nothing but a key of the install makes one."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Unauthenticated
from shared.domain.proof import Claim, prove, verify

KEY, OLDER, FOREIGN = b"k" * 40, b"o" * 40, b"f" * 40
CLAIM = Claim(b"r" * 16, b"m" * 16, "acme", "shop", "accepted", 42, ("local", "eu"), b"d" * 32, b"x" * 32)

texts = st.text(string.ascii_letters + "äé \x00,", max_size=8)
some_bytes = st.binary(max_size=8)
claims = st.builds(
    Claim,
    some_bytes,
    some_bytes,
    texts,
    texts,
    texts,
    st.integers(0, 2**63),
    st.lists(texts, max_size=4).map(tuple),
    some_bytes,
    some_bytes,
)


@given(claims, claims)
def test_proof_is_another_one_when_any_field_differs(one: Claim, other: Claim) -> None:
    assert (prove(KEY, one) == prove(KEY, other)) == (one == other)


@given(claims, st.integers(0, 8), claims)
def test_proof_is_refused_when_one_field_was_changed_under_it(claim: Claim, field: int, other: Claim) -> None:
    changed = Claim._make(other[place] if place == field else value for place, value in enumerate(claim))
    if changed == claim:
        verify((KEY,), changed, prove(KEY, claim))
    else:
        with pytest.raises(Unauthenticated):
            verify((KEY,), changed, prove(KEY, claim))


@pytest.mark.parametrize(
    "moved",
    [
        CLAIM._replace(org="acmes", principal="hop"),
        CLAIM._replace(targets=("localeu",)),
        CLAIM._replace(targets=("local,eu",)),
        CLAIM._replace(principal="shopaccepted", verdict=""),
        CLAIM._replace(targets=("local", "eu", "")),
        CLAIM._replace(verdict="received"),
    ],
)
def test_proof_is_another_one_when_bytes_move_from_one_field_to_the_next(moved: Claim) -> None:
    assert prove(KEY, moved) != prove(KEY, CLAIM)


def test_any_key_of_the_install_verifies_when_the_first_signs() -> None:
    verify((KEY, OLDER), CLAIM, prove(KEY, CLAIM))
    verify((KEY, OLDER), CLAIM, prove(OLDER, CLAIM))


@pytest.mark.parametrize("proof", ["", "0" * 64, "ä", prove(FOREIGN, CLAIM), prove(KEY, CLAIM)[:-1], prove(KEY, CLAIM).upper()])
def test_proof_is_refused_when_it_is_missing_or_wrong(proof: str) -> None:
    with pytest.raises(Unauthenticated):
        verify((KEY, OLDER), CLAIM, proof)


def test_proof_is_none_of_the_secret_s_other_uses() -> None:
    assert prove(KEY, CLAIM) != hashlib.sha256(KEY).hexdigest()
    assert len(prove(KEY, CLAIM)) == 64
