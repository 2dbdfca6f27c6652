"""What a function knows of config and registry at one revision: immutable, replaced whole."""

from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256

import msgspec

from shared.domain.principal import Principal
from shared.domain.rules.rules import Rules


class Snapshot(msgspec.Struct, frozen=True, dict=True):
    """One config state. `keys` maps the SHA-256 of an API key to its principal; `home` is the backbone of this cluster.

    `documents` maps an org to its documents: path (`org`, `topics/orders.>`) to canonical JSON. The org `""` has `global`.
    """

    revision: int
    keys: Mapping[bytes, Principal]
    home: str = "local"
    documents: Mapping[str, Mapping[str, bytes]] = {}

    @cached_property
    def rules(self) -> Rules:
        """What messages are judged by: the documents, compiled as messages ask for them."""
        return Rules(self.documents)

    def after(self, previous: "Snapshot | None") -> "Snapshot":
        """This snapshot; what it has in common with the one before isn't compiled again."""
        if previous is not None:
            self.__dict__["rules"] = Rules(self.documents, previous.rules)
        return self

    def principal_of(self, key: str) -> Principal | None:
        """The principal an API key belongs to. The look-up is by hash, so that timing tells nothing of a stored key."""
        return self.keys.get(sha256(key.encode()).digest())
