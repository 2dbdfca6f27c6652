"""The public keys of an issuer: a JWK Set (RFC 7517), read once."""

from typing import TYPE_CHECKING, Any

from shared.domain.errors import Malformed
from shared.domain.json_text import parse
from shared.domain.token_issuer import ALGORITHMS

if TYPE_CHECKING:
    from jwt import PyJWK

MAX_SET = 128 * 1024  # bytes
MAX_KEYS = 100
LEAST_RSA = 2048  # bits (RFC 7518, 3.3)
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))


class KeySet:
    """Keys by id and by the algorithm they verify. `private` says whether the set gives away a secret: then it is none to trust."""

    def __init__(self, keys: list[dict[str, Any]]) -> None:
        self._keys: dict[tuple[str | None, str], list[PyJWK]] = {}
        self._ids: set[str | None] = set()
        self.private = any(key.get("kty") == "oct" or PRIVATE & key.keys() for key in keys)
        for key in keys:
            for algorithm in _algorithms(key):
                made = _key(key, algorithm)
                if made is not None:
                    kid = key.get("kid") if isinstance(key.get("kid"), str) else None
                    self._ids.add(kid)
                    self._keys.setdefault((kid, algorithm), []).append(made)

    def __len__(self) -> int:
        return len(self._ids)

    def knows(self, kid: str | None) -> bool:
        """Whether there is a key of that id; without one: any key at all."""
        return bool(self._ids) if kid is None else kid in self._ids

    def key(self, kid: str | None, algorithm: str) -> "PyJWK | None":
        """The one key that a token of this header can be signed with; None where there is none, or where it could be one of several."""
        if kid is not None:
            found = self._keys.get((kid, algorithm), [])
        else:
            found = [key for (_, verifies), keys in self._keys.items() if verifies == algorithm for key in keys]
        return found[0] if len(found) == 1 else None


def read_key_set(text: bytes) -> KeySet:
    """The set of a JSON text. What in it can't verify a token is left out. Raises Malformed where it is none, or nothing is left."""
    if len(text) > MAX_SET:
        raise Malformed(f"a JWK Set is at most {MAX_SET} bytes")
    value = parse(text)
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise Malformed('a JWK Set is {"keys": [...]}')
    if len(keys) > MAX_KEYS:
        raise Malformed(f"a JWK Set has at most {MAX_KEYS} keys")
    found = KeySet(keys)
    if not found:
        raise Malformed("the JWK Set has no public key that could verify a token")
    return found


def _algorithms(key: dict[str, Any]) -> list[str]:
    """What a key may verify: its own `alg`, else whatever its kind can. Nothing where it is for something else, or secret."""
    operations = key.get("key_ops")
    if key.get("use", "sig") != "sig" or (operations is not None and (not isinstance(operations, list) or "verify" not in operations)):
        return []
    kind = key.get("kty")
    fit: list[str] = []
    if kind == "RSA":
        fit = [name for name in ALGORITHMS if name[:2] in ("RS", "PS")]
    elif kind in ("EC", "OKP") and isinstance(key.get("crv"), str):
        algorithm = CURVES.get(key["crv"])
        fit = [algorithm] if algorithm is not None and (algorithm == "EdDSA") == (kind == "OKP") else []
    return [name for name in fit if key.get("alg", name) == name]


def _key(key: dict[str, Any], algorithm: str) -> "PyJWK | None":
    import jwt

    public = {name: value for name, value in key.items() if name not in PRIVATE}
    try:
        made = jwt.PyJWK.from_dict(public, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        return None
    bits = getattr(made.key, "key_size", LEAST_RSA)
    return None if key["kty"] == "RSA" and bits < LEAST_RSA else made
