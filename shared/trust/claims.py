"""NATS' JSON Web Tokens (nats-io/jwt, version 2): who an operator, an account or a user is, signed by the one above it."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from shared.trust.nkeys import NKey

Json = dict[str, Any]

HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
NO_LIMIT = -1
USER_LIMITS = {"subs": NO_LIMIT, "data": NO_LIMIT, "payload": NO_LIMIT}
ACCOUNT_LIMITS = USER_LIMITS | {"imports": NO_LIMIT, "exports": NO_LIMIT, "wildcards": True, "conn": NO_LIMIT, "leaf": NO_LIMIT}
JETSTREAM = {"mem_storage": NO_LIMIT, "disk_storage": NO_LIMIT, "streams": NO_LIMIT, "consumer": NO_LIMIT}


def operator_claims(system_account: str) -> Json:
    """An operator's, who signs for itself."""
    return {"type": "operator", "version": 2, "system_account": system_account}


def account_claims(*, jetstream: bool, signers: Sequence[Json | str] = (), revoked: Mapping[str, int] | None = None) -> Json:
    """An account's. `signers` are its signing keys, alone or with what users signed by them may do (scope()); `revoked`: by user's public
    key, tokens issued at or before that second are good for nothing."""
    claims: Json = {"type": "account", "version": 2, "limits": ACCOUNT_LIMITS | (JETSTREAM if jetstream else {}), "default_permissions": {}}
    if signers:
        claims["signing_keys"] = list(signers)
    if revoked:
        claims["revocations"] = dict(sorted(revoked.items()))
    return claims


def scope(key: str, role: str, publish: Sequence[str], subscribe: Sequence[str]) -> Json:
    """A signing key, and what users that it signs may do: `{{tag(x)}}` stands for each of a user's tags `x:`."""
    allowed = {"pub": {"allow": list(publish)}, "sub": {"allow": list(subscribe)}}
    return {"kind": "user_scope", "key": key, "role": role, "template": allowed | USER_LIMITS}


def user_claims(account: str) -> Json:
    """A user's that may do everything in its account."""
    return {"type": "user", "version": 2, "issuer_account": account, "pub": {}, "sub": {}} | USER_LIMITS


def scoped_user_claims(account: str, tags: Sequence[str]) -> Json:
    """A user's that may do what its signing key's scope says."""
    return {"type": "user", "version": 2, "issuer_account": account, "tags": list(tags), "pub": {}, "sub": {}}


def signed(claims: Json, issuer: NKey, subject: str, name: str, issued: int, expires: int | None = None) -> str:
    """The token of a subject's claims. Times are seconds since 1970."""
    body: Json = {"iat": issued, "iss": issuer.public, "name": name, "sub": subject, "nats": claims}
    if expires is not None:
        body["exp"] = expires
    digest = hashlib.new("sha512_256", _json(body)).digest()
    text = f"{_base64(_json(HEADER))}.{_base64(_json(body | {'jti': base64.b32encode(digest).decode().rstrip('=')}))}"
    return f"{text}.{_base64(issuer.sign(text.encode()))}"


def read_claims(token: str) -> Json:
    """What a token says, unverified: `sub`, `iss`, `iat`, `nats` and so on. Raises ValueError."""
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("not a token")
    found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    if not isinstance(found, dict) or not isinstance(found.get("nats"), dict):
        raise ValueError("not a token of NATS")
    return found


def _json(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
