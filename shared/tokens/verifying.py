"""What a token must be (RFC 7519 and its best practices, RFC 8725): its form, its issuer, its signature, its claims, in this order.

One that says itself that it is over is refused before anybody looks for its key: what waits for keys then waits no longer than that.
"""

import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from shared.domain.errors import Malformed, Unauthenticated
from shared.domain.json_text import parse
from shared.domain.token_issuer import TYPES, Issuer
from shared.tokens.key_set import KeySet

MAX_TOKEN = 8 * 1024  # characters
FARTHEST = 2**53  # seconds since 1970: beyond it a double isn't exact

KeysOf = Callable[[Issuer, str | None], KeySet]


class Refused(Unauthenticated):
    """A token that isn't taken. `reason` is one of a few words of our own, for the metrics."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Verified(NamedTuple):
    """A token whose signature and claims hold. `expires` and `until` are seconds since 1970: what it says, and when it is over here."""

    issuer: Issuer
    claims: Mapping[str, Any]
    expires: float
    until: float


def is_token(text: str) -> bool:
    """Whether it looks like a signed token (RFC 7515, 7.1). No API key has a dot."""
    return text.count(".") == 2


def verify(token: str, issuers: Iterable[Issuer], keys_of: KeysOf, now: float) -> Verified:
    """The token's claims. `keys_of` gives an issuer's keys, looking for the id that the token names; `now` is in seconds since 1970.

    Raises Refused; whatever `keys_of` raises.
    """
    if len(token) > MAX_TOKEN:
        raise Refused("size", f"the token is over {MAX_TOKEN} characters")
    header, claims = (_part(part) for part in token.split(".")[:2])
    issuer = _issuer(claims, issuers)
    algorithm, kid = _check_header(header, issuer)
    _check_expiry(claims, issuer, now)
    key = keys_of(issuer, kid).key(kid, algorithm)
    if key is None:
        raise Refused("key", "the token's signature is by no key of its issuer")
    return _verified(token, key, algorithm, issuer, now)


def _part(part: str) -> dict[str, Any]:
    """An object of the token, strictly: what one reader takes for one thing and another for something else is refused."""
    try:
        value = parse(binascii.a2b_base64(part.replace("-", "+").replace("_", "/") + "=" * (-len(part) % 4), strict_mode=True))
    except (binascii.Error, ValueError, Malformed) as error:
        raise Refused("form", "the token can't be read") from error
    if not isinstance(value, dict):
        raise Refused("form", "the token can't be read")
    return value


def _issuer(claims: Mapping[str, Any], issuers: Iterable[Issuer]) -> Issuer:
    """The one issuer that these claims, not verified yet, say they are of."""
    said, audience = claims.get("iss"), claims.get("aud")
    wanted = {one for one in (audience if isinstance(audience, list) else [audience]) if isinstance(one, str)}
    of_issuer = [issuer for issuer in issuers if issuer.issuer == said]
    if not of_issuer:
        raise Refused("issuer", "the token's issuer is not known")
    found = [issuer for issuer in of_issuer if wanted & set(issuer.audience)]
    if len(found) != 1:
        raise Refused("audience", "the token is not for us")
    return found[0]


def _check_header(header: Mapping[str, Any], issuer: Issuer) -> tuple[str, str | None]:
    """Algorithm and key id. Where a key is to be had is for config to say: `jku`, `jwk`, `x5u` and `x5c` are not looked at."""
    algorithm, kid, type = header.get("alg"), header.get("kid"), header.get("typ")
    if algorithm not in issuer.algorithms or not isinstance(algorithm, str):
        raise Refused("algorithm", "the token's algorithm is not one that its issuer may use")
    if "crit" in header or "b64" in header:
        raise Refused("crit", "the token asks for extensions that are not known here")
    if kid is not None and not isinstance(kid, str):
        raise Refused("form", "the token's kid is no text")
    if type is None:
        fits = not issuer.types
    else:
        plain = type.lower().removeprefix("application/") if isinstance(type, str) else ""
        fits = plain in {one.lower().removeprefix("application/") for one in issuer.types or TYPES}
    if not fits:
        raise Refused("type", "the token is of a type that is not taken")
    return algorithm, kid


def _verified(token: str, key: Any, algorithm: str, issuer: Issuer, now: float) -> Verified:
    import jwt

    try:
        payload = jwt.PyJWS().decode_complete(token, key, algorithms=[algorithm])["payload"]
        claims = parse(payload)
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError, Malformed) as error:
        raise Refused("signature", "the token's signature does not hold") from error
    _issuer(claims, (issuer,))
    expires = _check_expiry(claims, issuer, now)
    for name in ("nbf", "iat"):
        moment = _moment(claims, name)
        if moment is not None and moment > now + issuer.leeway:
            raise Refused("early", f"the token is not valid yet: its {name} is to come")
    return Verified(issuer, claims, expires, expires + issuer.leeway)


def _check_expiry(claims: Mapping[str, Any], issuer: Issuer, now: float) -> float:
    expires = _moment(claims, "exp")
    if expires is None:
        raise Refused("expiry", "the token has no exp: one that never ends is not taken")
    if now >= expires + issuer.leeway:
        raise Refused("expired", "the token has expired")
    return expires


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, 2)."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < FARTHEST:
        raise Refused("form", f"the token's {name} is no time")
    return float(value)
