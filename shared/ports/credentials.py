"""Credentials of agents on backbones, and the keys that sign them."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from shared.domain.registry.agents import Credential
from shared.domain.registry.deploying import ServerTrust
from shared.domain.registry.login import Login


class Credentials(Protocol):
    """Where they are kept. Conformance: tests/conformance/credentials.py, run on memory and PostgreSQL. Every method raises Unavailable.

    What belongs to a backbone goes with it, when the registry forgets it.
    """

    async def keys(self, backbone: str) -> bytes | None:
        """The sealed keys of a backbone."""

    async def keep_keys(self, backbone: str, sealed: bytes, before: bytes | None) -> bool:
        """Keep sealed keys, where there are none (`before` None) or these; whether it was so."""

    async def issue(self, backbone: str, now: int) -> int | None:
        """When the next token of the backbone's account is to say that it was issued, in seconds since 1970: now, or later where one says
        that already. No two get the same, whoever asks. None where the backbone has no keys."""

    async def given(self, org: str | None = None, backbone: str | None = None) -> list[Credential]:
        """Credentials that have not expired, those that were revoked among them, oldest first."""

    async def give(self, wanted: Credential, reason: str = "") -> int:
        """Note new credentials, in the audit too; the config revision. Raises NotProcessable as check_given() says."""

    async def revoke(self, credential: Credential, author: str, why: str) -> bool:
        """Note that they hold no longer, in the audit too; whether they did until now."""


class Trusts(Protocol):
    """What the reconciler asks of backbones' keys. Each method raises Unavailable, and what it says besides."""

    async def server(self, backbone: str) -> ServerTrust | None:
        """What its servers go by; None where it has no keys. Raises Undeployed where they can't be opened."""

    async def login(self, backbone: str, name: str) -> Login | None:
        """How a leaf, or somebody else who may do everything there, signs in to it; None where it has no keys."""

    async def system(self, backbone: str, now: int) -> Login | None:
        """How to sign in to hand over its account's tokens, for an hour; None where it has no keys."""

    async def account(self, backbone: str, revoked: Mapping[str, int], now: int, edges: Iterable[bytes] = ()) -> str | None:
        """The account's token that says whose tokens are good for nothing; `edges` are the own keys of the edges that are let in. Each one
        is later than any before it: of two, the servers of a cluster keep the later one among themselves. None where the backbone has no
        keys."""

    def forget(self, backbone: str) -> None:
        """It is gone."""
