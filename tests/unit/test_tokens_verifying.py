"""Which tokens are taken: RFC 8725 as a table of hostile ones."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.domain.errors import Unavailable
from shared.domain.token_issuer import ALGORITHMS, Issuer
from shared.tokens.key_set import KeySet
from shared.tokens.verifying import MAX_TOKEN, Refused, Verified, verify
from tests.tokens import AUDIENCE, ISSUER, claims, jwk, private_key, token

IDP = Issuer("idp", ISSUER, (AUDIENCE,), ("ES256", "RS256"), jwks="{}", org="acme")
KEYS = KeySet([jwk("k1"), jwk("k2"), jwk("r1", "RS256"), jwk("p1", "ES384")])


def soon(seconds: int) -> int:
    """A time so far from now."""
    return int(time.time()) + seconds


def verified(text: str, issuer: Issuer = IDP, *others: Issuer, now: float | None = None) -> Verified:
    return verify(text, (issuer, *others), lambda asked, kid: KEYS, time.time() if now is None else now)


def raw(header: object, payload: object, signature: bytes = b"x") -> str:
    parts = (one if isinstance(one, bytes) else json.dumps(one).encode() for one in (header, payload, signature))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def confused() -> str:
    """HS256 with the public key as its secret (RFC 8725, 2.1)."""
    public = private_key("r1", "RS256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    import hashlib
    import hmac

    unsigned = raw({"alg": "HS256", "typ": "JWT", "kid": "r1"}, claims()).rpartition(".")[0]
    mac = hmac.digest(public, unsigned.encode(), hashlib.sha256)
    return f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def test_token_is_taken_when_all_of_it_holds() -> None:
    found = verified(token(groups=["a"]))
    assert (found.issuer.name, found.claims["sub"], found.claims["groups"]) == ("idp", "shop", ["a"])
    assert found.until - found.expires == IDP.leeway
    assert verified(token("r1", "RS256")).claims["sub"] == "shop"


HOSTILE: list[tuple[str, str, Callable[[], str]]] = [
    ("none", "algorithm", lambda: raw({"alg": "none"}, claims(), b"")),
    ("None in other letters", "algorithm", lambda: raw({"alg": "nOnE"}, claims(), b"")),
    ("no alg", "algorithm", lambda: raw({"typ": "JWT"}, claims())),
    ("alg is a list", "algorithm", lambda: raw({"alg": ["ES256"]}, claims())),
    ("public key as a secret", "algorithm", confused),
    ("algorithm of another issuer", "algorithm", lambda: token("p1", "ES384")),
    ("another's key under our kid", "signature", lambda: token("k1", key=private_key("other"))),
    ("key of another kid", "signature", lambda: token("k1", key=private_key("k2"))),
    ("unknown kid", "key", lambda: token("k9")),
    ("kid of another kind of key", "key", lambda: token("k1", header={"kid": "r1"})),
    ("no kid, and several keys", "key", lambda: jwt.encode(claims(), private_key("k1"), "ES256")),
    ("kid is a path", "key", lambda: token("k1", header={"kid": "../../dev/null"})),
    ("kid is a number", "form", lambda: raw({"alg": "ES256", "kid": 1}, claims())),
    ("its own key", "key", lambda: token("evil", header={"jwk": jwk("evil"), "jku": "http://127.0.0.1:1/jwks"})),
    ("payload changed", "signature", lambda: ".".join((*raw({"alg": "ES256", "kid": "k1"}, claims(sub="admin")).split(".")[:2], "AAAA"))),
    ("signature cut", "signature", lambda: token().rpartition(".")[0] + "."),
    ("crit", "crit", lambda: token(header={"crit": ["exp"], "exp": 1})),
    ("unencoded payload", "crit", lambda: raw({"alg": "ES256", "kid": "k1", "b64": False, "crit": ["b64"]}, claims())),
    ("another type", "type", lambda: token(header={"typ": "logout+jwt"})),
    ("type is a number", "type", lambda: raw({"alg": "ES256", "kid": "k1", "typ": 7}, claims())),
    ("other issuer", "issuer", lambda: token(iss="https://evil.example/")),
    ("no issuer", "issuer", lambda: token(iss=None)),
    ("issuer without its slash", "issuer", lambda: token(iss=ISSUER.rstrip("/"))),
    ("other audience", "audience", lambda: token(aud="billing")),
    ("no audience", "audience", lambda: token(aud=None)),
    ("audience in a list of others", "audience", lambda: token(aud=["billing", "mail"])),
    ("no exp", "expiry", lambda: token(exp=None)),
    ("expired", "expired", lambda: token(exp=soon(-60))),
    ("exp is text", "form", lambda: token(exp="tomorrow")),
    ("exp is true", "form", lambda: token(exp=True)),
    ("exp far out", "form", lambda: token(exp=2**63)),
    ("nbf to come", "early", lambda: token(nbf=soon(600))),
    ("iat to come", "early", lambda: token(iat=soon(600))),
    ("claim twice", "form", lambda: raw({"alg": "ES256", "kid": "k1"}, b'{"iss":"a","iss":"b"}')),
    ("exp is infinite", "form", lambda: raw({"alg": "ES256", "kid": "k1"}, b'{"exp":Infinity}')),
    ("deep", "form", lambda: raw({"alg": "ES256", "kid": "k1"}, b"[" * 2_000 + b"]" * 2_000)),
    ("5,000 digits", "form", lambda: raw({"alg": "ES256", "kid": "k1"}, b'{"exp":' + b"9" * 5_000 + b"}")),
    ("not UTF-8", "form", lambda: raw({"alg": "ES256", "kid": "k1"}, b'{"sub":"\xff"}')),
    ("half a surrogate pair", "form", lambda: raw({"alg": "ES256", "kid": "k1"}, b'{"sub":"\\ud800"}')),
    ("claims are a list", "form", lambda: raw({"alg": "ES256", "kid": "k1"}, [1])),
    ("header is text", "form", lambda: raw("ES256", claims())),
    ("not base64", "form", lambda: "a!b.c!d.e"),
    ("empty", "form", lambda: ".."),
    ("too long", "size", lambda: token(pad="x" * MAX_TOKEN)),
]


@pytest.mark.parametrize(("reason", "hostile"), [pytest.param(reason, made, id=name) for name, reason, made in HOSTILE])
def test_token_is_refused_when_it_is_hostile(reason: str, hostile: Callable[[], str]) -> None:
    with pytest.raises(Refused) as refused:
        verified(hostile())
    assert refused.value.reason == reason


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_token_is_taken_by_every_algorithm_when_its_issuer_may_use_it(algorithm: str) -> None:
    kid = f"key-{algorithm}"
    keys = KeySet([jwk(kid, algorithm)])
    issuer = Issuer("idp", ISSUER, (AUDIENCE,), (algorithm,), jwks="{}", org="acme")
    assert verify(token(kid, algorithm), [issuer], lambda *_: keys, time.time()).claims["sub"] == "shop"


def test_leeway_counts_when_clocks_differ() -> None:
    now = soon(0)
    text = token(iat=now, nbf=now + 5, exp=now + 8)
    assert verified(text, now=now).claims
    assert verified(text, now=now + 17).claims
    with pytest.raises(Refused):
        verified(text, now=now + 18)


def test_nobody_looks_for_keys_when_a_token_says_itself_that_it_is_over() -> None:
    def away(issuer: Issuer, kid: str | None) -> KeySet:
        raise Unavailable("the keys are not to be had")

    now = soon(0)
    with pytest.raises(Unavailable):
        verify(token("k9", exp=now), (IDP,), away, now + IDP.leeway - 1)
    with pytest.raises(Refused) as refused:
        verify(token("k9", exp=now), (IDP,), away, now + IDP.leeway)
    assert refused.value.reason == "expired"


@pytest.mark.parametrize(
    ("types", "type", "taken"),
    [
        ((), "at+JWT", True),
        (("at+jwt",), "application/at+jwt", True),
        (("at+jwt",), "JWT", False),
        (("at+jwt",), None, False),
        ((), None, True),
    ],
)
def test_type_is_one_of_the_issuers_when_a_token_has_one(types: tuple[str, ...], type: Any, taken: bool) -> None:
    issuer = Issuer("idp", ISSUER, (AUDIENCE,), ("ES256",), jwks="{}", org="acme", types=types)
    text = token(header={"typ": type})
    if taken:
        assert verified(text, issuer).claims
    else:
        with pytest.raises(Refused):
            verified(text, issuer)


def test_issuer_is_told_by_its_audience_when_two_are_of_one_name() -> None:
    other = Issuer("other", ISSUER, ("billing",), ("ES256",), jwks="{}", org="beta")
    assert verified(token(aud=["billing"]), IDP, other).issuer is other
    with pytest.raises(Refused) as refused:
        verified(token(aud=["billing", AUDIENCE]), IDP, other)
    assert refused.value.reason == "audience"


def test_keys_are_left_out_when_they_could_not_verify() -> None:
    weak = jwk("weak", "RS256")
    odd: list[dict[str, Any]] = [{"kty": "oct", "k": "c2VjcmV0", "kid": "o"}, {"kty": "EC", "crv": "P-256", "x": "!", "y": "!"}, {"kty": 7}]
    assert len(KeySet([weak, jwk("k1", use="enc"), jwk("k2", key_ops=["sign"]), *odd])) == 0
    assert KeySet([jwk("r1", "RS256", alg="PS256")]).key("r1", "RS256") is None
    assert KeySet(odd).private
    assert not KeySet([jwk("k1")]).private
    assert KeySet([jwk("k1"), jwk("k1")]).key("k1", "ES256") is None  # which one is meant?
