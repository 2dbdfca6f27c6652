"""Principals and their API keys: who may do what in an org. Nobody gives, or takes over, more than they hold themselves."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

import msgspec

from functions.config_crud.access import READ, WRITE, reach
from shared.domain.authority import author, holds_all
from shared.domain.errors import Fault, Forbidden, NotFound, NotProcessable, Unavailable
from shared.domain.names import check_new_org
from shared.domain.principal import DOORS, Grant, Principal
from shared.domain.revisions import Guard, LastAdmin, Stale
from shared.ports import ConfigStore

TRIES = 20  # of a change that others come before
ANYHOW = Guard()
Done = TypeVar("Done")
Change: TypeAlias = Callable[[Principal | None, int], Awaitable[Done]]


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


async def read_principal(store: ConfigStore, caller: Principal, org: str | None, name: str) -> tuple[Principal, int]:
    """One principal, and the revision that last changed it: its ETag. Raises NotFound, Forbidden."""
    return await _existing(store, reach(caller, org, READ), name)


async def list_principals(store: ConfigStore, caller: Principal, org: str | None) -> list[Principal]:
    """All principals of the org, by name. Raises Forbidden."""
    return await store.principals(reach(caller, org, READ))


async def put_principal(store: ConfigStore, caller: Principal, wanted: Principal, reason: str, guard: Guard = ANYHOW) -> Written:
    """Create or replace a principal of `wanted.org`. A system admin stays one; nobody becomes one here.

    Raises Forbidden where the caller holds less than `wanted` would, or than the principal holds now; Malformed for a new org whose name
    is taken; Stale where it isn't as the guard wants it; NotProcessable where no system admin would be left.
    """
    org = reach(caller, wanted.org, WRITE)
    if org != caller.org and not await store.orgs(org):
        check_new_org(org)  # its first principal makes it
    if not holds_all(caller.grants, wanted.grants):
        raise Forbidden(f"{caller.name} can't grant more than {caller.name} holds", rule="grant")

    async def put(before: Principal | None, revision: int) -> Written:
        if before is None:
            _check_power_over_door(caller, org, wanted.name)
        system = before is not None and before.system
        made = msgspec.structs.replace(wanted, system=system)
        with _ruling(wanted.name, "/grants"):
            number = await store.put_principal(made, author(caller, org), reason, expected=revision)
        return Written(made, number, created=before is None)

    return await _changed(store, caller, org, wanted.name, guard, put)


async def delete_principal(store: ConfigStore, caller: Principal, org: str | None, name: str, reason: str, guard: Guard = ANYHOW) -> None:
    """Remove a principal and its keys. Raises NotFound; Forbidden, Stale and NotProcessable as put_principal() does."""
    whose = reach(caller, org, WRITE)
    _check_power_over_door(caller, whose, name)

    async def delete(before: Principal | None, revision: int) -> bool:
        with _ruling(name, "name"):
            return before is not None and await store.delete_principal(whose, name, author(caller, whose), reason, expected=revision)

    if not await _changed(store, caller, whose, name, guard, delete):
        raise _unknown(name)


async def create_key(store: ConfigStore, caller: Principal, org: str | None, name: str, reason: str = "") -> NewKey:
    """A new key for a principal. Raises NotFound, and Forbidden where the principal holds more than the caller does."""
    whose = reach(caller, org, WRITE)

    async def create(before: Principal | None, revision: int) -> NewKey:
        if before is None:
            raise _unknown(name)
        key_id, key = await store.create_key(whose, name, author(caller, whose), reason, expected=revision)
        return NewKey(key_id, key, name)

    return await _changed(store, caller, whose, name, ANYHOW, create)


async def list_keys(store: ConfigStore, caller: Principal, org: str | None, name: str) -> list[dict[str, str]]:
    """The ids and creation times of a principal's keys. Raises NotFound, Forbidden."""
    org = reach(caller, org, READ)
    await _existing(store, org, name)
    return await store.keys(org, name)


async def delete_key(store: ConfigStore, caller: Principal, org: str | None, name: str, key_id: str, reason: str = "") -> None:
    """Revoke a key. Raises NotFound; Forbidden as create_key() does; NotProcessable for the last key of the last system admin."""
    org = reach(caller, org, WRITE)
    before, _ = await _existing(store, org, name)
    _check_power_over(caller, before)
    with _ruling(name, "key_id"):
        if not await store.delete_key(org, name, key_id, author(caller, org), reason):
            raise NotFound(f"{name} has no such key")


async def _changed(store: ConfigStore, caller: Principal, org: str, name: str, guard: Guard, change: Change[Done]) -> Done:
    """What `change` returns, given the principal and its revision; 0 where there is none.

    The store refuses the change where the principal is another by then, and it is looked at again: what the caller was found to have
    power over is what is changed.
    """
    for _ in range(TRIES):
        found = await store.principal_version(org, name)
        before, revision = found or (None, 0)
        guard.check(f"the principal {name}", revision or None)
        if before is not None:
            _check_power_over(caller, before)
        try:
            return await change(before, revision)
        except Stale:
            continue
    raise Unavailable(f"{name} is changed all the time; try again", retry_after_ms=1000)


def _check_power_over(caller: Principal, other: Principal) -> None:
    """Whoever changes a principal, or makes a key for it, can act as it: so they must hold what it holds."""
    if (other.system and not caller.system) or not holds_all(caller.grants, other.grants):
        raise Forbidden(f"{other.name} holds more than {caller.name} does", rule="grant")


def _check_power_over_door(caller: Principal, org: str, name: str) -> None:
    """A door's principal may publish everything where config has none of its name: who makes the first takes that away, and who removes it
    gives it back, so they must hold as much. Raises Forbidden."""
    door, _, whose = name.partition(":")
    if door in DOORS and whose == org:
        _check_power_over(caller, Principal(name, org, (Grant("publish"),)))


@contextmanager
def _ruling(name: str, pointer: str) -> Iterator[None]:
    """Name what of the request would have left no system admin: without any, nobody could ever repair the install over the API."""
    try:
        yield
    except LastAdmin as error:
        raise NotProcessable(f"{name} is the last system admin: {error.detail}", faults=[Fault(pointer, error.detail)]) from error


async def _existing(store: ConfigStore, org: str, name: str) -> tuple[Principal, int]:
    found = await store.principal_version(org, name)
    if found is None:
        raise _unknown(name)
    return found


def _unknown(name: str) -> NotFound:
    return NotFound(f"no principal {name}")
