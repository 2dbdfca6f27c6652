"""NATS' keys: Ed25519, written in base32 with a letter that says whose they are (nats-io/nkeys). A server knows the public part alone."""

import base64
import binascii
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Kind = Literal["operator", "account", "user"]

PREFIXES: dict[Kind, int] = {"operator": 14 << 3, "account": 0, "user": 20 << 3}  # the first letters O, A and U
SEED = 18 << 3  # the letter S
RAW = 32  # bytes of a key


class NKey:
    """A key pair of an operator, an account or a user, made of 32 secret bytes."""

    def __init__(self, kind: Kind, secret: bytes) -> None:
        self._kind = kind
        self._secret = secret
        self._private = Ed25519PrivateKey.from_private_bytes(secret)
        self.public = _text(bytes((PREFIXES[kind],)) + self._private.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """The secret part as clients are given it, `SU...` for a user's."""
        prefix = PREFIXES[self._kind]
        return _text(bytes((SEED | prefix >> 5, (prefix & 31) << 3)) + self._secret)

    def sign(self, text: bytes) -> bytes:
        """The signature of a text."""
        return self._private.sign(text)

    def __repr__(self) -> str:
        return f"NKey({self.public})"


def from_seed(seed: str) -> NKey:
    """The key pair of a seed. Raises ValueError, which doesn't show it."""
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except ValueError:
        raise ValueError("not the seed of a NATS key") from None
    prefix = (raw[0] & 7) << 5 | (raw[1] & 248) >> 3 if len(raw) == RAW + 4 else -1
    kind = next((kind for kind, value in PREFIXES.items() if value == prefix), None)
    if kind is None or raw[0] & 248 != SEED or _checksum(raw[:-2]) != raw[-2:]:
        raise ValueError("not the seed of a NATS key")
    return NKey(kind, raw[2:-2])


def verified(public: str, text: bytes, signature: bytes) -> bool:
    """Whether the holder of a public key signed a text."""
    try:
        raw = base64.b32decode(public + "=" * (-len(public) % 8))
        if len(raw) != RAW + 3 or raw[0] not in PREFIXES.values() or _checksum(raw[:-2]) != raw[-2:]:
            return False
        Ed25519PublicKey.from_public_bytes(raw[1:-2]).verify(signature, text)
    except (ValueError, InvalidSignature):
        return False
    return True


def _text(raw: bytes) -> str:
    return base64.b32encode(raw + _checksum(raw)).decode().rstrip("=")


def _checksum(raw: bytes) -> bytes:
    return binascii.crc_hqx(raw, 0).to_bytes(2, "little")
