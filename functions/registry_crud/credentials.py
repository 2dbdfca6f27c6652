"""Credentials of agents: given once, listed, revoked. Who gives some can act as that principal, so it takes what an API key takes."""

import secrets
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from shared.domain.authority import author, holds_all
from shared.domain.errors import Fault, Forbidden, Malformed, NotFound, NotProcessable
from shared.domain.names import check_org
from shared.domain.principal import Principal
from shared.domain.registry.agents import LIFE_S, Credential, consumers_of, inbox_of, read_grants, stream_of, tags_of, tails_of
from shared.domain.registry.login import Login
from shared.domain.registry.reach import LOCAL
from shared.domain.registry.shapes import SHARED, Backbone
from shared.ports import ConfigStore, Credentials, Registry

CONFIG_READ, CONFIG_WRITE = "config:read", "config:write"


class Signer(Protocol):
    """What signs an agent's token."""

    async def agent(self, backbone: str, name: str, tags: Sequence[str], issued: int, expires: int) -> tuple[Login, str] | None:
        """A new user's login and its public key; None where the backbone has no keys. Raises NotProcessable, Unavailable, Misconfigured."""


class Stores(NamedTuple):
    """What credentials are made of and kept in."""

    registry: Registry
    config: ConfigStore
    credentials: Credentials
    signer: Signer


class Given(NamedTuple):
    """New credentials, the only time that `login` is known."""

    credential: Credential
    login: Login
    endpoint: str | None
    tails: tuple[str, ...]

    @property
    def inbox(self) -> str:
        """The prefix that all it subscribes to has."""
        return inbox_of(self.credential.org, self.credential.principal)

    @property
    def filters(self) -> tuple[str, ...]:
        """What its consumers of the stream `sb-<org>` may be filtered by, or by less of it; with `sbg.` for `sbg-<org>`."""
        return tuple(f"sb.{self.credential.org}.{tail}" for tail in self.tails)

    @property
    def streams(self) -> tuple[str, ...]:
        """What it may have consumers of."""
        return tuple(stream_of(prefix, self.credential.org) for prefix in ("sb", "sbg"))


async def give(stores: Stores, caller: Principal, org: str | None, id: str, value: Any, reason: str) -> Given:
    """New credentials for a principal of the org. Raises NotFound; Forbidden where the principal holds more than the caller; Malformed,
    NotProcessable naming what is wrong."""
    whose = _org(caller, org, CONFIG_WRITE)
    name = _principal_name(value)
    backbone = await _backbone(stores.registry, whose, id)
    principal = await stores.config.principal(whose, name)
    if principal is None:
        raise NotFound(f"no principal {name[:100]}")
    if (principal.system and not caller.system) or not holds_all(caller.grants, principal.grants):
        raise Forbidden(f"{name} holds more than {caller.name} does", rule="grant")
    grants = read_grants(principal)
    tails, consumers = tails_of(grants), consumers_of(name, [one.name for one in await stores.config.principals(whose)])
    now = int(time.time())
    signed = await stores.signer.agent(id, f"{whose}/{name}", tags_of(whose, name, tails, consumers), now, now + LIFE_S)
    if signed is None:
        detail = (
            f"the servers of {id} know no users with tokens: it was declared before they did, has an auth.secret of its own, or isn't ours"
        )
        raise NotProcessable(detail, rule="credentials", faults=[Fault("id", detail)])
    login, key = signed
    made = Credential(f"c_{secrets.token_hex(6)}", id, whose, name, key, grants, consumers, now, now + LIFE_S, author(caller, whose))
    await stores.credentials.give(made, reason)
    return Given(made, login, backbone.endpoint, tails)


async def listed(stores: Stores, caller: Principal, org: str | None, id: str) -> list[Credential]:
    """Those of the org that have not expired, oldest first; the revoked ones too. Raises NotFound, Forbidden."""
    whose = _org(caller, org, CONFIG_READ)
    await _backbone(stores.registry, whose, id)
    return await stores.credentials.given(whose, id)


async def revoke(stores: Stores, caller: Principal, org: str | None, id: str, credential_id: str, reason: str) -> None:
    """They hold no longer. Raises NotFound, Forbidden."""
    whose = _org(caller, org, CONFIG_WRITE)
    await _backbone(stores.registry, whose, id)
    found = next((one for one in await stores.credentials.given(whose, id) if one.id == credential_id), None)
    if found is None:
        raise NotFound(f"{id} has no credentials {credential_id[:100]}")
    by = author(caller, whose)
    await stores.credentials.revoke(found, by, reason or f"by {by}")


def _org(caller: Principal, org: str | None, action: str) -> str:
    """Whose credentials are meant. Raises Forbidden."""
    if not caller.may(action) and not (action == CONFIG_READ and caller.may(CONFIG_WRITE)):
        raise Forbidden(f"this takes a grant with the action {action}", rule="grant")
    if org is not None and check_org(org) != caller.org and not caller.system:
        raise Forbidden(f"only a system admin may ask for another org than {caller.org}")
    return org or caller.org


def _principal_name(value: Any) -> str:
    if not isinstance(value, dict):
        raise Malformed("the body is an object with a principal", faults=[Fault("", "an object is wanted")])
    faults = [Fault(f"/{name}", "there is no such field") for name in value if name != "principal"]
    if not isinstance(value.get("principal"), str) or not value["principal"]:
        faults.append(Fault("/principal", "the name of a principal is wanted"))
    if faults:
        raise Malformed(f"the body is not as it should be: {faults[0].pointer}: {faults[0].detail}", faults=faults)
    return str(value["principal"])


async def _backbone(registry: Registry, org: str, id: str) -> Backbone:
    """The org's own backbone or a shared one. Raises NotFound."""
    if id == LOCAL:
        raise NotFound("local, the home backbone, is Switchboard's own and has no credentials for agents: declare a backbone for them")
    found = await registry.registered((org, SHARED), f"backbones/{id}")
    kept = next(iter(found.values()), None)
    if kept is None or not isinstance(kept.declared, Backbone) or kept.declared.deleting:
        raise NotFound(f"there is no backbone {id[:100]}")
    return kept.declared
