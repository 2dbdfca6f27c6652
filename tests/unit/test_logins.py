"""How processes sign in to backbones that have keys: with the install's secret, and as an edge with its own."""

import os

import msgspec
import pytest

from shared.domain.registry.login import Login, read_login
from shared.domain.registry.reach import Reach
from shared.trust.backbone import BackboneTrust
from shared.trust.claims import read_claims
from shared.trust.logins import Logins
from shared.trust.nkeys import from_seed
from shared.trust.sealing import sealed

FIRST, SECOND, EDGE, OTHER = b"a" * 48, b"b" * 48, b"e" * 48, b"o" * 48
MASTER = os.urandom(32)
TRUST = BackboneTrust("main-0a", MASTER)


def reach(id: str = "main-0a", secret: bytes = FIRST) -> Reach:
    return Reach(id, "acme", "eu", "local", "nats://eu:4222", keys=sealed(id, MASTER, secret))


def test_process_with_the_secret_signs_in_as_switchboard_whichever_key_it_was_sealed_with() -> None:
    for secrets in ((FIRST,), (SECOND, FIRST)):
        assert read_login(Logins(secrets).of(reach())) == TRUST.login("switchboard")
    assert Logins((FIRST,)).of(Reach("plain-0b", "acme", "eu", "local")) == ""


def test_it_goes_on_when_its_secret_has_become_another_and_its_snapshot_has_not() -> None:
    secrets = [FIRST]
    logins = Logins(secrets)
    before = logins.of(reach())
    secrets[:] = [SECOND]
    assert logins.of(reach()) == before
    assert logins.of(reach(secret=SECOND)) == before


def test_it_says_so_once_and_signs_in_as_nobody_when_it_can_not_open_them(caplog: pytest.LogCaptureFixture) -> None:
    logins = Logins((OTHER,))
    assert [logins.of(reach()) for _ in range(2)] == ["", ""]
    assert logins.for_edge([reach()], EDGE) == (msgspec.structs.replace(reach(), keys=b"", token=""),)
    assert len(caplog.records) == 1
    assert "SWITCHBOARD_SECRET_FILE" in caplog.text


def test_edge_is_a_user_of_its_own_on_each_backbone_and_is_told_nothing_secret() -> None:
    hub = Logins((FIRST,))
    plain = Reach("plain-0b", "acme", "eu", "local")
    told = hub.for_edge([reach(), reach("more-0c"), plain], EDGE)
    assert told[2] == plain
    assert [one.keys for one in told] == [b"", b"", b""]
    assert hub.for_edge([reach()], EDGE)[0] == told[0] != hub.for_edge([reach()], OTHER)[0]
    found = [read_login(Logins((EDGE,)).of(one)) for one in told[:2]]
    keys = {from_seed(login.seed).public for login in found}
    assert keys == {read_claims(login.token)["sub"] for login in found}
    assert len(keys) == 2
    assert not [one for one in told if any(login.seed in one.token for login in found)]
    claims = read_claims(told[0].token)
    assert claims["nats"]["issuer_account"] == TRUST.account.public
    named = [read_claims(TRUST.account_token({}, 1, edges))["nats"]["signing_keys"] for edges in ([claims["sub"]], [])]
    assert [claims["iss"] in each for each in named] == [True, False]  # a key for it alone: with it goes its token


def test_token_is_of_no_use_to_another_edge(caplog: pytest.LogCaptureFixture) -> None:
    [told] = Logins((FIRST,)).for_edge([reach()], EDGE)
    assert Logins((OTHER,)).of(told) == ""
    assert "another key" in caplog.text


def test_edge_keeps_its_login_until_the_hub_has_its_new_key() -> None:
    hub, secrets = Logins((FIRST,)), [EDGE]
    edge = Logins(secrets)
    before = edge.of(hub.for_edge([reach()], EDGE)[0])
    secrets[:] = [OTHER]
    assert edge.of(hub.for_edge([reach()], EDGE)[0]) == before
    after = read_login(edge.of(hub.for_edge([reach()], OTHER)[0]))
    assert after not in (read_login(before), Login())
    assert from_seed(after.seed).public == read_claims(after.token)["sub"]
