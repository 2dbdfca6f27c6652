"""How Switchboard's processes sign in to the backbones that have keys: by what a snapshot says of them, and the process's own secret.

Who has the install's secret opens the sealed keys. An edge with a key of its own can't, and is not to have them: it derives a user's key of
its own for each backbone, and the hub, which knows the edge's key, gives it the token of that user with the snapshot. Nothing secret
travels; of what an edge holds no other edge, and no backbone, can make anything. Servers take the token while the account's names the edge,
which the reconciler sees to (functions/reconcile_backbones/revoking.py).
"""

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from shared.domain.registry.login import Login
from shared.domain.registry.reach import Reach

if TYPE_CHECKING:
    from shared.trust.backbone import BackboneTrust
    from shared.trust.nkeys import NKey

OWN = "switchboard"  # as whom processes sign in that have the install's secret
EDGE = "edge"  # and those of an edge

log = logging.getLogger(__name__)

# What signs is imported where something has keys: it takes 20 ms, and most processes at their start have none to open.


class Logins:
    """The logins of one process; `secrets` are the keys of its SWITCHBOARD_SECRET_FILE. What was opened once is remembered: its secret may
    be another meanwhile, and a snapshot of before."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = secrets
        self._opened: dict[str, BackboneTrust] = {}
        self._own: dict[str, str] = {}  # credentials, by backbone
        self._told: dict[str, tuple[str, str]] = {}  # an edge's: the token, and credentials with it
        self._edges: dict[tuple[str, bytes], str] = {}  # edges' tokens
        self._complained: set[str] = set()

    def of(self, one: Reach) -> str:
        """The text of a credentials file; empty where the backbone has no keys, or this process can make nothing of them."""
        if one.token:
            return self._of_edge(one)
        if one.keys and one.id not in self._own and (trust := self._open(one)) is not None:
            self._own[one.id] = trust.login(OWN).file()
        return self._own.get(one.id, "")

    def for_edge(self, backbones: Iterable[Reach], key: bytes) -> tuple[Reach, ...]:
        """The backbones as an edge with this key is told of them: with its tokens in the place of the sealed keys."""
        return tuple(msgspec.structs.replace(one, keys=b"", token=self._edge_token(one, key)) if one.keys else one for one in backbones)

    def _edge_token(self, one: Reach, key: bytes) -> str:
        if (one.id, key) not in self._edges:
            trust = self._open(one)
            if trust is None:
                return ""
            self._edges[one.id, key] = trust.edge_token(edge_user(one.id, key).public, EDGE)
        return self._edges[one.id, key]

    def _of_edge(self, one: Reach) -> str:
        token, credentials = self._told.get(one.id, ("", ""))
        if token == one.token:
            return credentials
        from shared.trust.claims import read_claims

        wanted = read_claims(one.token)["sub"]
        user = next((user for key in self._secrets if (user := edge_user(one.id, key)).public == wanted), None)
        if user is None:
            self._complain(one.id, "its token is for another key than SWITCHBOARD_SECRET_FILE has")
            return credentials
        self._told[one.id] = one.token, Login(one.token, user.seed).file()
        return self._told[one.id][1]

    def _open(self, one: Reach) -> "BackboneTrust | None":
        """Its keys; None where none of the secrets opens them."""
        if one.id not in self._opened:
            from shared.trust.backbone import BackboneTrust
            from shared.trust.sealing import opened

            found = opened(one.id, one.keys, self._secrets)
            if found is None:
                self._complain(one.id, "its keys were sealed with a key that SWITCHBOARD_SECRET_FILE doesn't have")
                return None
            self._opened[one.id] = BackboneTrust(one.id, found[0])
        return self._opened[one.id]

    def _complain(self, id: str, why: str) -> None:
        """Once."""
        if id not in self._complained:
            self._complained.add(id)
            log.warning("backbone %s can't be signed in to: %s", id, why)


def edge_user(backbone: str, key: bytes) -> "NKey":
    """The user that an edge is on a backbone, made of the edge's own key: another on each, so that none can pass a nonce on."""
    from shared.trust.nkeys import NKey
    from shared.trust.sealing import derived

    return NKey("user", derived(key, f"switchboard backbone user 1 {backbone}"))
