"""What a function knows of config and registry at one revision: immutable, replaced whole."""

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from shared.domain.principal import Principal

MAX_BYTES = 1_048_576  # an event's size unless config says otherwise


class Snapshot(msgspec.Struct, frozen=True):
    """One config state. `keys` maps the SHA-256 of an API key to its principal; `home` is the backbone of this cluster.

    `documents` maps an org to its documents: path (`org`, `topics/orders.>`) to canonical JSON. The org `""` has `global`.
    """

    revision: int
    keys: Mapping[bytes, Principal]
    home: str = "local"
    max_bytes: int = MAX_BYTES
    documents: Mapping[str, Mapping[str, bytes]] = {}

    def principal_of(self, key: str) -> Principal | None:
        """The principal an API key belongs to. The look-up is by hash, so that timing tells nothing of a stored key."""
        return self.keys.get(sha256(key.encode()).digest())
