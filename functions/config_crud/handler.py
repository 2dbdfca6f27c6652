"""Principals and their API keys: who may do what in an org. Nobody gives, or takes over, more than they hold themselves."""

import msgspec

from shared.domain.authority import holds_all
from shared.domain.errors import Conflict, Fault, Forbidden, NotFound, NotProcessable
from shared.domain.names import check_org
from shared.domain.principal import Grant, Principal
from shared.ports import ConfigStore

EVERYTHING = (Grant("admin"),)


class NewKey(msgspec.Struct, frozen=True):
    """A key as it is shown once: `id` names it later, `key` is what a client sends."""

    id: str
    key: str
    principal: str


class Written(msgspec.Struct, frozen=True):
    """A principal as it is now, the config revision that made it so, and whether it is new."""

    principal: Principal
    revision: int
    created: bool


def reach(caller: Principal, org: str | None, action: str) -> str:
    """The org that is meant: the caller's, or `org` for a system admin. `action` is `config:read` or `config:write`.

    Raises Forbidden without a grant for the action, and for another org than the caller's unless the caller is a system admin.
    """
    if not caller.may(action) and not (action == "config:read" and caller.may("config:write")):
        raise Forbidden(f"this takes a grant with the action {action}", rule="grant")
    if org is not None and check_org(org) != caller.org and not caller.system:
        raise Forbidden(f"only a system admin may ask for another org than {caller.org}")
    return org or caller.org


async def read_principal(store: ConfigStore, caller: Principal, org: str | None, name: str) -> Principal:
    """One principal. Raises NotFound, Forbidden."""
    return await _existing(store, reach(caller, org, "config:read"), name)


async def list_principals(store: ConfigStore, caller: Principal, org: str | None) -> list[Principal]:
    """All principals of the org, by name. Raises Forbidden."""
    return await store.principals(reach(caller, org, "config:read"))


async def put_principal(store: ConfigStore, caller: Principal, wanted: Principal, reason: str, *, create: bool = False) -> Written:
    """Create or replace a principal of `wanted.org`; with `create`, never replace one. A system admin stays one; nobody becomes one here.

    Raises Forbidden where the caller holds less than `wanted` would, or than the principal holds now; Conflict where `create` finds one;
    NotProcessable where no system admin would be left.
    """
    org = reach(caller, wanted.org, "config:write")
    before = await store.principal(org, wanted.name)
    if before is not None:
        _check_power_over(caller, before)
        if create:
            raise Conflict(f"there is a principal {wanted.name} already")
        wanted = msgspec.structs.replace(wanted, system=before.system)
        if _rules_all(before) and not _rules_all(wanted):
            await _check_another_rules(store, before, "/grants")
    if not holds_all(caller.grants, wanted.grants):
        raise Forbidden(f"{caller.name} can't grant more than {caller.name} holds", rule="grant")
    revision = await store.put_principal(wanted, _author(caller, org), reason)
    return Written(wanted, revision, created=before is None)


async def delete_principal(store: ConfigStore, caller: Principal, org: str | None, name: str, reason: str) -> None:
    """Remove a principal and its keys. Raises NotFound; Forbidden and NotProcessable as put_principal() does."""
    org = reach(caller, org, "config:write")
    before = await _existing(store, org, name)
    _check_power_over(caller, before)
    if _rules_all(before):
        await _check_another_rules(store, before, "name")
    if not await store.delete_principal(org, name, _author(caller, org), reason):
        raise _unknown(name)


async def create_key(store: ConfigStore, caller: Principal, org: str | None, name: str) -> NewKey:
    """A new key for a principal. Raises NotFound, and Forbidden where the principal holds more than the caller does."""
    org = reach(caller, org, "config:write")
    _check_power_over(caller, await _existing(store, org, name))
    key_id, key = await store.create_key(org, name, _author(caller, org))
    return NewKey(key_id, key, name)


async def list_keys(store: ConfigStore, caller: Principal, org: str | None, name: str) -> list[dict[str, str]]:
    """The ids and creation times of a principal's keys. Raises NotFound, Forbidden."""
    org = reach(caller, org, "config:read")
    await _existing(store, org, name)
    return await store.keys(org, name)


async def delete_key(store: ConfigStore, caller: Principal, org: str | None, name: str, key_id: str) -> None:
    """Revoke a key. Raises NotFound; Forbidden as create_key() does; NotProcessable for the last key of the last system admin."""
    org = reach(caller, org, "config:write")
    before = await _existing(store, org, name)
    _check_power_over(caller, before)
    if _rules_all(before) and [key["id"] for key in await store.keys(org, name)] == [key_id]:
        await _check_another_rules(store, before, "key_id")
    if not await store.delete_key(org, name, key_id, _author(caller, org)):
        raise NotFound(f"{name} has no such key")


def _check_power_over(caller: Principal, other: Principal) -> None:
    """Whoever changes a principal, or makes a key for it, can act as it: so they must hold what it holds."""
    if (other.system and not caller.system) or not holds_all(caller.grants, other.grants):
        raise Forbidden(f"{other.name} holds more than {caller.name} does", rule="grant")


def _rules_all(principal: Principal) -> bool:
    """Whether this is a system admin that may do everything: the only kind that can give everything back to others."""
    return principal.system and holds_all(principal.grants, EVERYTHING)


async def _check_another_rules(store: ConfigStore, leaving: Principal, pointer: str) -> None:
    """Raise NotProcessable unless another system admin has a key: without any, nobody could ever repair the install over the API."""
    holders = (await store.snapshot()).keys.values()
    if not any(_rules_all(holder) and (holder.org, holder.name) != (leaving.org, leaving.name) for holder in holders):
        detail = "no other system admin has a key and the grant admin"
        raise NotProcessable(f"{leaving.name} is the last system admin: {detail}", faults=[Fault(pointer, detail)])


async def _existing(store: ConfigStore, org: str, name: str) -> Principal:
    found = await store.principal(org, name)
    if found is None:
        raise _unknown(name)
    return found


def _unknown(name: str) -> NotFound:
    return NotFound(f"no principal {name}")


def _author(caller: Principal, org: str) -> str:
    """Who changed something, as revisions and the audit trail name them."""
    return caller.name if caller.org == org else f"{caller.org}/{caller.name}"
