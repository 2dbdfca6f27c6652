"""The secret that a backbone's keys are made of, as the store has it: sealed with a key of SWITCHBOARD_SECRET_FILE (AES-256-GCM)."""

import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MASTER = 32  # bytes
NONCE = 12  # bytes, before what is sealed


def derived(secret: bytes, label: str) -> bytes:
    """32 bytes that only who has the secret can make, others for each label."""
    return hmac.digest(secret, label.encode(), "sha256")


def sealed(backbone: str, master: bytes, secret: bytes) -> bytes:
    """The master for the store: of no use without the secret, and for no other backbone."""
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(_key(secret)).encrypt(nonce, master, backbone.encode())


def opened(backbone: str, text: bytes, secrets: Sequence[bytes]) -> tuple[bytes, int] | None:
    """The master, and the place of the secret that it was sealed with; None where none of them fits."""
    for place, secret in enumerate(secrets):
        try:
            return AESGCM(_key(secret)).decrypt(text[:NONCE], text[NONCE:], backbone.encode()), place
        except InvalidTag:
            continue
    return None


def _key(secret: bytes) -> bytes:
    return derived(secret, "switchboard backbone keys 1")
