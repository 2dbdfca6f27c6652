"""The keys of one backbone, all made of one secret of its own: who signs, and the tokens of those who connect.

An operator stands over two accounts: the servers' own (`$SYS`), and the one that everybody else is in. Users of that one are Switchboard's
processes and the backbone's leaves, who may do everything in it, and agents, whose tokens another key of the account signs: one with a
scope, which says what an agent may do (shared/domain/registry/agents.py). What an edge is let in by is signed by a key for that edge alone:
a token of the account that doesn't name the key is the end of the edge's own, and of its connections.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from shared.domain.registry.agents import PUBLISH, ROLE, SUBSCRIBE
from shared.domain.registry.deploying import ServerTrust
from shared.domain.registry.login import Login
from shared.trust import claims
from shared.trust.nkeys import NKey
from shared.trust.sealing import derived

BORN = 1_700_000_000  # when tokens that never change say they were issued: whatever is pushed later is newer
SYSTEM_S = 3600  # how long the reconciler's token for `$SYS` is good


class BackboneTrust:
    """What is signed for a backbone. `master` is the secret, 32 bytes."""

    def __init__(self, backbone: str, master: bytes) -> None:
        self.backbone = backbone
        self.master = master

    @cached_property
    def operator(self) -> NKey:
        """Whom the servers believe."""
        return NKey("operator", derived(self.master, "operator"))

    @cached_property
    def account(self) -> NKey:
        """The account that everybody but the reconciler is in."""
        return NKey("account", derived(self.master, "account"))

    @cached_property
    def agents(self) -> NKey:
        """The account's key that signs agents."""
        return NKey("account", derived(self.master, "agents"))

    @cached_property
    def system(self) -> NKey:
        """The servers' own account."""
        return NKey("account", derived(self.master, "system"))

    @cached_property
    def server(self) -> ServerTrust:
        """What its servers go by. None of it is secret."""
        operator = claims.signed(claims.operator_claims(self.system.public), self.operator, self.operator.public, self.backbone, BORN)
        system = claims.signed(claims.account_claims(jetstream=False), self.operator, self.system.public, "SYS", BORN)
        accounts = {self.system.public: system, self.account.public: self.account_token({}, BORN)}
        return ServerTrust(operator, self.system.public, self.account.public, accounts)

    def account_token(self, revoked: Mapping[str, int], issued: int, edges: Iterable[str] = ()) -> str:
        """The account's, which says whose tokens are good for nothing; `edges` are the public keys of the edges that are let in."""
        scope = claims.scope(self.agents.public, ROLE, PUBLISH, SUBSCRIBE)
        signers = sorted(self._edge_signer(key).public for key in edges)
        wanted = claims.account_claims(jetstream=True, signers=[scope, *signers], revoked=revoked)
        return claims.signed(wanted, self.operator, self.account.public, self.backbone, issued)

    def login(self, name: str) -> Login:
        """How somebody who may do everything in the account signs in: Switchboard's processes, or a leaf by its id."""
        user = NKey("user", derived(self.master, f"user {name}"))
        return Login(claims.signed(claims.user_claims(self.account.public), self.account, user.public, name, BORN), user.seed)

    def edge_token(self, key: str, name: str) -> str:
        """The token of an edge, who may do everything in the account as well, and holds the secret part of this public key: good while the
        account's token names the edge."""
        return claims.signed(claims.user_claims(self.account.public), self._edge_signer(key), key, name, BORN)

    def system_login(self, now: int) -> Login:
        """How the reconciler signs in to `$SYS`, for an hour."""
        user = NKey("user", derived(self.master, "system user"))
        token = claims.signed(claims.user_claims(self.system.public), self.system, user.public, "reconcile", now, now + SYSTEM_S)
        return Login(token, user.seed)

    def agent_token(self, user: NKey, name: str, tags: Sequence[str], issued: int, expires: int) -> str:
        """An agent's."""
        return claims.signed(claims.scoped_user_claims(self.account.public, tags), self.agents, user.public, name, issued, expires)

    def _edge_signer(self, key: str) -> NKey:
        """The account's key that signs for one edge, and nobody else."""
        return NKey("account", derived(self.master, f"edge {key}"))
