"""Signing in to NATS with a user's token and key."""

import base64
from typing import Any

from shared.domain.registry.login import Login


def options_of(login: Login) -> dict[str, Any]:
    """The login as nats-py takes it: the token, and what signs the server's nonce. Raises ValueError where the seed is none."""
    from shared.trust.nkeys import from_seed  # not before it is needed: cryptography takes 20 ms

    key = from_seed(login.seed)
    return {
        "user_jwt_cb": login.token.encode,
        "signature_cb": lambda nonce: base64.b64encode(key.sign(nonce.encode())),
    }
