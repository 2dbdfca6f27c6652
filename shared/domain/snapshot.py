"""What a function knows of config and registry at one revision: immutable, replaced whole."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import sha256

import msgspec

from shared.domain.principal import DOORS, Grant, Principal
from shared.domain.registry.reach import Reach, Targets
from shared.domain.rules.rules import Rules
from shared.domain.token_issuer import Issuer


class Snapshot(msgspec.Struct, frozen=True, dict=True):
    """One config state. `keys` maps the SHA-256 of an API key to its principal; `home` is the backbone of this cluster, `cluster` its name.

    `documents` maps an org to its documents: path (`org`, `topics/orders.>`) to canonical JSON. The org `""` has `global`.
    `orgs` are those with a principal, in order: what a source serves. `doors` has the principals that doors without keys speak as and
    that config says something of, by name (`redis:acme`). `issuers` are those whose tokens are taken, `keyless` the principals without a
    key, which tokens may name. `backbones` are those of the registry, by id. `ended` are the browser sessions that were signed out
    (shared/domain/sessions.py): the id of one, or the SHA-256 of an API key for all of its sessions until then, to when it would expire.
    """

    revision: int
    keys: Mapping[bytes, Principal]
    home: str = "local"
    documents: Mapping[str, Mapping[str, bytes]] = {}
    orgs: tuple[str, ...] = ()
    doors: Mapping[str, Principal] = {}
    issuers: tuple[Issuer, ...] = ()
    keyless: tuple[Principal, ...] = ()
    backbones: tuple[Reach, ...] = ()
    cluster: str = "local"
    ended: Mapping[bytes, int] = {}

    @cached_property
    def rules(self) -> Rules:
        """What messages are judged by: the documents, compiled as messages ask for them."""
        return Rules(self.documents)

    @cached_property
    def targets(self) -> Targets:
        """What the targets of routes stand for."""
        return Targets(self.backbones, self.home, self.cluster)

    def reach(self, id: str) -> Reach | None:
        """The registry's backbone of that id."""
        return self._by_id.get(id)

    @cached_property
    def _by_id(self) -> dict[str, Reach]:
        return {one.id: one for one in self.backbones}

    def after(self, previous: "Snapshot | None") -> "Snapshot":
        """This snapshot; what it has in common with the one before isn't compiled again."""
        if previous is not None:
            self.__dict__["rules"] = Rules(self.documents, previous.rules)
        return self

    def principal_of(self, key: str) -> Principal | None:
        """The principal an API key belongs to. The look-up is by hash, so that timing tells nothing of a stored key."""
        return self.keys.get(sha256(key.encode()).digest())

    def door_principal(self, door: str, org: str) -> Principal:
        """Who speaks where a server's own access list stands for a key: `redis:<org>`, `nats:<org>`.

        With the grants that config gives the principal of that name; where there is none, it may publish whatever its org may.
        """
        name = f"{door}:{org}"
        return self.doors.get(name) or Principal(name, org, _PUBLISH)

    def principal_named(self, org: str, name: str) -> Principal | None:
        """The principal of that name in the org, where config has it or it is a door's."""
        found = self._named.get((org, name))
        door, _, whose = name.partition(":")
        return self.door_principal(door, org) if found is None and door in DOORS and whose == org else found

    def sender(self, org: str, name: str, grants: tuple[Grant, ...]) -> Principal | None:
        """Who sent a message: config's principal of that name, or a token's (`<issuer>/<claim>`), whose grants came along."""
        return Principal(name, org, grants) if "/" in name else self.principal_named(org, name)

    @cached_property
    def _named(self) -> dict[tuple[str, str], Principal]:
        return {(one.org, one.name): one for one in (*self.keyless, *self.keys.values())}


_PUBLISH = (Grant("publish"),)


def standing(principals: Iterable[Principal]) -> tuple[tuple[str, ...], dict[str, Principal]]:
    """`orgs` and `doors` of a snapshot, given all principals there are."""
    known = list(principals)
    doors = {one.name: one for one in known if one.name in {f"{door}:{one.org}" for door in DOORS}}
    return tuple(sorted({one.org for one in known})), doors
