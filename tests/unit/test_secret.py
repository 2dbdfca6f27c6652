"""The secret file can be rotated under running processes: nothing that is valid is ever refused, and what was removed is."""

import logging
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from functions.query.cursor import Cursor as QueryCursor
from functions.query.cursor import seal as seal_query
from functions.query.cursor import unseal as unseal_query
from functions.websocket.cursor import Cursor, seal, unseal
from shared.domain.errors import Malformed, SwitchboardError, Unauthenticated
from shared.domain.proof import Claim, prove, verify
from shared.domain.request_proof import prove_request, verify_request
from shared.secret import LOOK_S, SecretKeys
from shared.session import open_session
from shared.session import seal as seal_session
from shared.session import unseal as unseal_session

OLD, NEW = "o" * 40, "n" * 40
CLAIM = Claim(b"r" * 16, b"m" * 16, "acme", "shop", "accepted", 7, ("local",), b"d" * 32)
QUERY = QueryCursor(1, b"r" * 16)


class Clock:
    """Seconds that pass when the test says so."""

    time = 0.0

    def __call__(self) -> float:
        return self.time


def write(path: Path, *keys: str) -> None:
    """As a Secret's volume changes: another file under the same name, at once."""
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(keys) + "\n")
    os.replace(fresh, path)


def check_all(signer: Sequence[bytes], verifier: Sequence[bytes]) -> None:
    """Whatever one process signs, the other takes: proofs, proofs of requests, both cursors, sessions."""
    verify(verifier, CLAIM, prove(signer[0], CLAIM))
    verify_request(verifier, "GET", "/x", 5, prove_request(signer[0], "GET", "/x", 5))
    unseal(seal(Cursor(()), signer), verifier)
    assert unseal_query(seal_query(QUERY, "acme", {}, signer), "acme", {}, verifier) == QUERY
    session = open_session("sb_key")
    assert unseal_session(seal_session(session, signer), verifier) == session


def test_nothing_valid_is_refused_when_keys_are_appended_rolled_and_removed_and_processes_see_it_one_after_the_other(
    tmp_path: Path,
) -> None:
    file, clocks = tmp_path / "keys", (Clock(), Clock())
    write(file, OLD)
    processes = [SecretKeys(file, clock) for clock in clocks]
    for step in ((OLD, NEW), (NEW, OLD), (NEW,)):
        write(file, *step)
        for clock in clocks:  # the first process knows of it, the second doesn't yet; then both do
            clock.time += LOOK_S
            for signer, verifier in product(processes, repeat=2):
                check_all(signer, verifier)
    assert [tuple(keys) for keys in processes] == [(NEW.encode(),)] * 2


def test_what_a_removed_key_signed_is_refused_when_the_change_is_a_second_old(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys", Clock()
    write(file, OLD)
    keys = SecretKeys(file, clock)
    proof, cursor, session = prove(keys[0], CLAIM), seal(Cursor(()), keys), seal_session(open_session("sb_key"), keys)
    write(file, NEW)
    clock.time += LOOK_S
    for refused, kind in (
        (lambda: verify(keys, CLAIM, proof), Unauthenticated),
        (lambda: unseal(cursor, keys), Malformed),
        (lambda: unseal_session(session, keys), Unauthenticated),
    ):
        with pytest.raises(SwitchboardError) as error:
            refused()
        assert type(error.value) is kind


def test_the_file_is_looked_at_once_a_second_at_most_when_keys_are_asked_for(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys", Clock()
    write(file, OLD)
    keys = SecretKeys(file, clock)
    write(file, NEW)
    clock.time = LOOK_S * 0.99
    assert keys[0] == OLD.encode()
    clock.time = LOOK_S
    assert (keys[0], len(keys), keys[:1]) == (NEW.encode(), 1, (NEW.encode(),))


@pytest.mark.parametrize("content", [None, "", "short\n"])
def test_the_keys_before_stay_and_it_is_said_once_when_the_file_is_no_good_any_more(
    tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file, clock = tmp_path / "keys", Clock()
    write(file, OLD)
    keys = SecretKeys(file, clock)
    if content is None:
        file.unlink()
    else:
        write(file, content)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            clock.time += LOOK_S
            assert tuple(keys) == (OLD.encode(),)
    [record] = caplog.records
    assert "SWITCHBOARD_SECRET_FILE" in record.getMessage()
    assert OLD not in record.getMessage() + repr(keys)
    write(file, NEW)
    clock.time += LOOK_S
    assert tuple(keys) == (NEW.encode(),)
