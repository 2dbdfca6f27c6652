"""Backbones' keys as a process uses them: made once, sealed in the store, opened with the install's secret and remembered."""

import os
from collections.abc import Iterable, Mapping, Sequence

from shared.domain.errors import Misconfigured
from shared.domain.registry.agents import too_many
from shared.domain.registry.deploying import ServerTrust, Undeployed
from shared.domain.registry.login import Login
from shared.ports.credentials import Credentials
from shared.trust.backbone import BackboneTrust
from shared.trust.logins import edge_user
from shared.trust.nkeys import RAW, NKey
from shared.trust.sealing import MASTER, opened, sealed

LONGEST_TOKEN = 6_500  # bytes: it is a part of CONNECT, which max_control_line bounds (8 KB)


class KeptTrusts:
    """The Trusts port. `secrets` are the keys of SWITCHBOARD_SECRET_FILE: without any nothing is made."""

    def __init__(self, store: Credentials, secrets: Sequence[bytes]) -> None:
        self._store = store
        self._secrets = secrets
        self._known: dict[str, tuple[BackboneTrust, bytes, bytes] | None] = {}  # with the secret that it is sealed with, and how

    async def make(self, backbone: str) -> bool:
        """Make a backbone's keys. False without a secret. Raises Unavailable."""
        secrets = tuple(self._secrets)
        if secrets:
            await self._store.keep_keys(backbone, sealed(backbone, os.urandom(MASTER), secrets[0]), None)
        return bool(secrets)

    async def of(self, backbone: str) -> BackboneTrust | None:
        """A backbone's keys; None where it has none: it lets in whoever has its password, or everybody.

        Raises Unavailable, and Misconfigured where they can't be opened.
        """
        if backbone not in self._known:
            self._known[backbone] = await self._read(backbone)
        known = self._known[backbone]
        if known is None:
            return None
        if self._secrets and self._secrets[0] != known[1]:
            known = self._known[backbone] = await self._again(*known)
        return known[0]

    async def server(self, backbone: str) -> ServerTrust | None:
        """What its servers go by. Raises Undeployed where its keys can't be opened; Unavailable."""
        try:
            trust = await self.of(backbone)
        except Misconfigured as error:
            raise Undeployed("NoKeys", error.detail) from None
        return None if trust is None else trust.server

    async def login(self, backbone: str, name: str) -> Login | None:
        """How somebody who may do everything there signs in; None where it has no keys."""
        trust = await self.of(backbone)
        return None if trust is None else trust.login(name)

    async def agent(self, backbone: str, name: str, tags: Sequence[str], issued: int, expires: int) -> tuple[Login, str] | None:
        """A new user's login and its public key; None where the backbone has no keys.

        Raises NotProcessable where a server wouldn't read it.
        """
        trust = await self.of(backbone)
        if trust is None:
            return None
        user = NKey("user", os.urandom(RAW))
        token = trust.agent_token(user, name, tags, issued, expires)
        if len(token) > LONGEST_TOKEN:
            raise too_many(f"its grants to read make a token of {len(token)} bytes, and {LONGEST_TOKEN} are allowed")
        return Login(token, user.seed), user.public

    async def system(self, backbone: str, now: int) -> Login | None:
        """How the reconciler signs in to hand over the account's tokens; None where the backbone has no keys."""
        trust = await self.of(backbone)
        return None if trust is None else trust.system_login(now)

    async def account(self, backbone: str, revoked: Mapping[str, int], now: int, edges: Iterable[bytes] = ()) -> str | None:
        """The account's token that says whose tokens are good for nothing; None where the backbone has no keys."""
        trust = await self.of(backbone)
        issued = None if trust is None else await self._store.issue(backbone, now)
        if trust is None or issued is None:
            return None
        return trust.account_token(revoked, issued, {edge_user(backbone, key).public for key in edges})

    def forget(self, backbone: str) -> None:
        """It is gone."""
        self._known.pop(backbone, None)

    async def _read(self, backbone: str) -> tuple[BackboneTrust, bytes, bytes] | None:
        text = await self._store.keys(backbone)
        if text is None:
            return None
        secrets = tuple(self._secrets)
        found = opened(backbone, text, secrets)
        if found is None:
            raise Misconfigured(
                f"the keys of backbone {backbone} were sealed with a key that SWITCHBOARD_SECRET_FILE doesn't have (any more)"
            )
        master, place = found
        return BackboneTrust(backbone, master), secrets[place], text

    async def _again(self, trust: BackboneTrust, secret: bytes, text: bytes) -> tuple[BackboneTrust, bytes, bytes]:
        """Sealed anew with the key that signs now, so that the one before may be taken away."""
        first = self._secrets[0]
        fresh = sealed(trust.backbone, trust.master, first)
        await self._store.keep_keys(trust.backbone, fresh, text)  # where it isn't as it was, another process did the same
        return trust, first, fresh
