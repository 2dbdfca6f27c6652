"""Issuers of tokens: whose tokens are as good as keys. For system admins, since an issuer speaks for whole orgs."""

from typing import NamedTuple

from functions.config_crud.access import check_system
from shared.domain.authority import author
from shared.domain.errors import NotFound, Unavailable
from shared.domain.principal import Principal
from shared.domain.revisions import Guard, Stale
from shared.domain.token_issuer import Issuer
from shared.ports import ConfigStore

TRIES = 20  # of a change that others come before
ANYHOW = Guard()


class Written(NamedTuple):
    """The config revision that made an issuer as it is now, and whether it is new."""

    revision: int
    created: bool


async def list_issuers(store: ConfigStore, caller: Principal) -> list[Issuer]:
    """All issuers, by name. Raises Forbidden."""
    check_system(caller)
    return [issuer for issuer, _ in (await store.issuers()).values()]


async def read_issuer(store: ConfigStore, caller: Principal, name: str) -> tuple[Issuer, int]:
    """One issuer, and the revision that last changed it: its ETag. Raises Forbidden, NotFound."""
    check_system(caller)
    found = (await store.issuers()).get(name)
    if found is None:
        raise _unknown(name)
    return found


async def put_issuer(store: ConfigStore, caller: Principal, wanted: Issuer, reason: str, guard: Guard = ANYHOW) -> Written:
    """Create or replace an issuer. Raises Forbidden; Stale where it isn't as the guard wants it; NotProcessable where a token could be of
    two issuers."""
    check_system(caller)
    for _ in range(TRIES):
        revision = await _guarded(store, wanted.name, guard)
        try:
            made = await store.put_issuer(wanted, caller.org, author(caller, caller.org), reason, expected=revision)
        except Stale:
            continue
        return Written(made, created=revision == 0)
    raise _busy(wanted.name)


async def delete_issuer(store: ConfigStore, caller: Principal, name: str, reason: str, guard: Guard = ANYHOW) -> None:
    """Take an issuer's tokens no more. Raises Forbidden, NotFound, Stale."""
    check_system(caller)
    for _ in range(TRIES):
        revision = await _guarded(store, name, guard)
        try:
            if not await store.delete_issuer(name, caller.org, author(caller, caller.org), reason, expected=revision):
                raise _unknown(name)
        except Stale:
            continue
        return
    raise _busy(name)


async def _guarded(store: ConfigStore, name: str, guard: Guard) -> int:
    """The issuer's revision, 0 where there is none. Raises Stale."""
    found = (await store.issuers()).get(name)
    revision = None if found is None else found[1]
    guard.check(f"the issuer {name}", revision)
    return revision or 0


def _unknown(name: str) -> NotFound:
    return NotFound(f"no issuer {name}")


def _busy(name: str) -> Unavailable:
    return Unavailable(f"{name} is changed all the time; try again", retry_after_ms=1000)
