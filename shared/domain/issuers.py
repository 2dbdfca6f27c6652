"""Issuers of tokens (JWT, RFC 7519): whose tokens are taken, and which principal a token's claims make (docs/tokens.md)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.domain.errors import NotProcessable, Unauthenticated
from shared.domain.principal import DOORS, Grant, Principal
from shared.domain.revisions import Stale
from shared.domain.snapshot import Snapshot
from shared.domain.token_issuer import Issuer

MAX_ISSUERS = 100
MAX_CLAIM = 256  # characters of a principal claim: it becomes part of a name that every message carries
MAX_VALUES = 1_000  # of a claim that is a list


def principal_of_claims(issuer: Issuer, claims: Mapping[str, Any], snapshot: Snapshot) -> Principal:
    """The principal of a verified token. It is never a system admin.

    Raises Unauthenticated, saying which claim is at fault, where the claims make none.
    """
    org = _org(issuer, claims)
    if org not in snapshot.orgs:  # a deleted org's doors are shut
        raise Unauthenticated("the token's org is not there")
    name = claim_at(claims, issuer.principal_claim)
    if not isinstance(name, str) or not 0 < len(name) <= MAX_CLAIM or not name.isprintable():
        raise Unauthenticated(f"the token's claim {issuer.principal_claim!r} is no name of at most {MAX_CLAIM} characters")
    if issuer.grants_claim is not None:
        return Principal(f"{issuer.name}/{name}", org, _grants(issuer, claim_at(claims, issuer.grants_claim)))
    door = name.partition(":")[0] in DOORS
    found = None if door else snapshot.principal_named(org, name)
    if found is None:
        raise Unauthenticated(f"no principal is named by the token's claim {issuer.principal_claim!r}")
    if found.system:
        raise Unauthenticated("a system admin signs in with a key")
    return found


def _org(issuer: Issuer, claims: Mapping[str, Any]) -> str:
    if issuer.org is not None:
        return issuer.org
    named = claim_at(claims, issuer.org_claim or "")
    if not isinstance(named, str) or named not in issuer.orgs:
        raise Unauthenticated(f"the token's claim {issuer.org_claim!r} names no org that the issuer may speak for")
    return named


def _grants(issuer: Issuer, given: object) -> tuple[Grant, ...]:
    """The grants of all the claim's values, each once, in the order of the issuer's mapping. `scope` is a list with spaces (RFC 9068)."""
    if isinstance(given, str):
        values = set(given.split(" ") if issuer.grants_claim == "scope" else [given])
    elif isinstance(given, list) and len(given) <= MAX_VALUES:
        values = {value for value in given if isinstance(value, str)}
    else:
        values = set()
    return tuple(dict.fromkeys(grant for value, grants in issuer.grants.items() if value in values for grant in grants))


def claim_at(claims: Mapping[str, Any], name: str) -> object:
    """A claim by its name; by a JSON pointer (RFC 6901) where that begins with `/` (`/realm_access/roles`). None where there is none."""
    if not name.startswith("/"):
        return claims.get(name)
    found: object = claims
    for part in name.split("/")[1:]:
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def check_apart(wanted: Issuer, others: Mapping[str, Issuer]) -> None:
    """Raise NotProcessable where a token could be of two issuers, or there would be too many of them."""
    if len(others.keys() | {wanted.name}) > MAX_ISSUERS:
        raise NotProcessable(f"there are {MAX_ISSUERS} issuers already", rule="issuers")
    for other in others.values():
        if other.name != wanted.name and other.issuer == wanted.issuer and set(other.audience) & set(wanted.audience):
            raise NotProcessable(f"the issuer {other.name} takes tokens of this `iss` and `aud` already", rule="issuers")


def check_issuer(name: str, revision: int | None, expected: int | None) -> None:
    """Raise Stale unless the issuer's revision is as expected: 0 for none at all, None for whatever it is."""
    if expected is not None and (revision or 0) != expected:
        raise Stale(f"the issuer {name} is not as expected", revision)


def read_issuer(value: bytes) -> Issuer:
    """The issuer that is kept as `value`."""
    return _decode(value)


def issuer_text(issuer: Issuer) -> bytes:
    """The issuer as it is kept: JSON, one text for one issuer."""
    return _encode(issuer)


_decode = msgspec.json.Decoder(Issuer).decode
_encode = msgspec.json.Encoder(order="deterministic").encode
