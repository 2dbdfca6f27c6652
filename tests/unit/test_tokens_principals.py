"""Whose token it is: the claims' principal, its org and its grants; and how long that is remembered."""

import time
from hashlib import sha256
from typing import Any

import pytest

from shared.domain.errors import Unauthenticated, Unavailable
from shared.domain.principal import Grant, Principal
from shared.domain.snapshot import Snapshot
from shared.domain.token_issuer import Issuer
from shared.edge.principals import Principals
from shared.tokens.key_sources import KeySources
from shared.tokens.principals import TokenPrincipal, Tokens
from tests.tokens import AUDIENCE, ISSUER, jwk, key_set, token

WRITE, READ = Grant("publish", ("orders.>",)), Grant("read")
SHOP = Principal("shop", "acme", (READ,))
ROOT = Principal("root", "acme", (Grant("admin"),), system=True)
JWKS = key_set(jwk("k1")).decode()


def issuer(**more: Any) -> Issuer:
    return Issuer("idp", ISSUER, (AUDIENCE,), ("ES256",), **{"jwks": JWKS, "org": "acme", **more})


class State:
    def __init__(self, *issuers: Issuer) -> None:
        self.current = self.of(*issuers)

    def of(self, *issuers: Issuer, revision: int = 7) -> Snapshot:
        keys = {sha256(b"sb_key").digest(): ROOT}
        return Snapshot(revision, keys, orgs=("acme", "beta"), issuers=issuers, keyless=(SHOP, Principal("redis:acme", "acme", (READ,))))


def asked(text: str, *issuers: Issuer) -> Principal:
    return Principals(State(*issuers), tokens=Tokens()).of(b"Bearer " + text.encode())


async def test_token_is_as_good_as_a_key_when_its_claim_names_a_principal() -> None:
    assert asked(token(), issuer()) == SHOP
    assert asked("sb_key", issuer()) == ROOT
    assert asked(token(sub=None, login="shop"), issuer(principal_claim="login")) == SHOP


@pytest.mark.parametrize("sub", ["nobody", "root", "redis:acme", "nats:acme", "", None, 7, "a\nb", "x" * 257, ["shop"]])
async def test_token_is_refused_when_it_names_none_of_configs_principals_or_a_system_admin(sub: Any) -> None:
    with pytest.raises(Unauthenticated):
        asked(token(sub=sub), issuer())


async def test_token_has_the_grants_of_its_claims_values_when_config_maps_them() -> None:
    mapped = issuer(grants_claim="groups", grants={"writers": (WRITE,), "readers": (READ,), "both": (READ, WRITE)})
    assert asked(token(groups=["readers", "both", "x", 7]), mapped) == Principal("idp/shop", "acme", (READ, WRITE))
    assert asked(token(groups="writers"), mapped).grants == (WRITE,)
    assert asked(token(groups={"writers": 1}), mapped).grants == ()
    assert asked(token(), mapped).grants == ()
    scoped = issuer(grants_claim="scope", grants={"write": (WRITE,)})
    assert asked(token(scope="read write"), scoped).grants == (WRITE,)
    deep = issuer(grants_claim="/realm/ro~1les", grants={"write": (WRITE,)})
    assert asked(token(realm={"ro/les": ["write"]}), deep).grants == (WRITE,)
    assert asked(token(realm=["write"]), deep).grants == ()


async def test_org_is_of_the_claim_when_it_is_one_that_the_issuer_may_speak_for() -> None:
    mapped = issuer(org=None, org_claim="org", orgs=("beta", "gone"), grants_claim="groups", grants={"a": (READ,)})
    assert asked(token(org="beta", groups=["a"]), mapped) == Principal("idp/shop", "beta", (READ,))
    for org in ("acme", "gone", None, ["beta"], "BETA"):  # not in the list; in it, but deleted; none; no text; another
        with pytest.raises(Unauthenticated):
            asked(token(org=org, groups=["a"]), mapped)


async def test_token_is_no_credential_when_there_is_no_issuer_or_it_comes_by_basic() -> None:
    with pytest.raises(Unauthenticated):
        asked(token())
    from base64 import b64encode

    door = Principals(State(issuer()), basic=True, tokens=Tokens())
    with pytest.raises(Unauthenticated):
        door.of(b"Basic " + b64encode(b"trigger:" + token().encode()))


async def test_token_is_verified_once_and_again_when_config_changed_or_it_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    state, now = State(issuer()), [time.time()]
    tokens = Tokens(clock=lambda: now[0])
    principals = Principals(state, tokens=tokens)
    verified: list[str] = []
    take = tokens.principal

    def counted(text: str, snapshot: Snapshot) -> TokenPrincipal:
        verified.append(text)
        return take(text, snapshot)

    monkeypatch.setattr(tokens, "principal", counted)
    text = token()
    authorization = b"Bearer " + text.encode()
    assert [principals.of(authorization) for _ in range(3)] == [SHOP] * 3
    assert verified == [text]
    assert principals.identify(authorization)[1] == pytest.approx(now[0] + 60, abs=2)
    assert principals.identify(b"Bearer sb_key") == (ROOT, None)
    state.current = state.of(issuer(), revision=8)
    assert principals.of(authorization) == SHOP
    assert len(verified) == 2
    now[0] += 69
    assert principals.of(authorization) == SHOP
    now[0] += 3
    with pytest.raises(Unauthenticated):
        principals.of(authorization)
    now[0] -= 3
    state.current = state.of(revision=9)
    with pytest.raises(Unauthenticated):
        principals.of(authorization)
    assert tokens.refused == {"expired": 1}


async def test_token_counts_no_more_when_the_key_that_verified_it_is_withdrawn() -> None:
    sets = [key_set(jwk("k1")), key_set(jwk("k2"))]

    async def fetch(url: str) -> bytes:
        return sets.pop(0)

    tokens = Tokens(KeySources(fetch, pause=0, fresh=0))
    snapshot = State(issuer(jwks=None, jwks_url="https://idp.example/jwks")).current
    authorization = token()
    with pytest.raises(Unavailable):
        tokens.take(b"k1", authorization, snapshot)
    await _settled(tokens)
    tokens.known(b"k1", snapshot)
    assert tokens.take(b"k1", authorization, snapshot).principal == SHOP
    assert tokens.known(b"k1", snapshot) is not None
    tokens.keys.keep(snapshot.issuers)
    await _settled(tokens)
    assert tokens.known(b"k1", snapshot) is None
    await tokens.stop()


async def _settled(tokens: Tokens) -> None:
    from tests.waiting import eventually

    generation = tokens.keys.generation
    await eventually(lambda: tokens.keys.generation > generation)
