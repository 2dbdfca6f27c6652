"""Orgs: made with their first admin, and ended. For system admins."""

from functions.config_crud.access import check_system
from shared.domain.authority import EVERYTHING, author
from shared.domain.errors import NotFound, NotProcessable
from shared.domain.names import check_new_org, check_org
from shared.domain.principal import Principal
from shared.domain.revisions import NewOrg, OrgState, Stale
from shared.ports import ConfigStore


async def list_orgs(store: ConfigStore, caller: Principal) -> list[OrgState]:
    """All orgs by name, the deleted ones too. Raises Forbidden."""
    check_system(caller)
    return await store.orgs()


async def read_org(store: ConfigStore, caller: Principal, org: str) -> OrgState:
    """One org. Raises Forbidden, NotFound."""
    check_system(caller)
    found = await store.orgs(check_org(org))
    if not found:
        raise NotFound(f"there is no org {org}")
    return found[0]


async def put_org(
    store: ConfigStore, caller: Principal, org: str, admin: str, reason: str, *, restore: bool
) -> tuple[OrgState, NewOrg | None]:
    """The org, and where it wasn't there, its first admin's key. Raises Forbidden; NotProcessable for one that was deleted and is not to be
    restored: whoever gets it would get what it left, too.
    """
    check_system(caller)
    made: NewOrg | None = None
    try:
        made = await store.create_org(Principal(admin, check_new_org(org), EVERYTHING), author(caller, org), reason, restore=restore)
    except Stale:
        state = await read_org(store, caller, org)
        if state.deleted is not None:
            detail = f"the org {org} was deleted at {state.deleted}, and what it left is kept until retention"
            raise NotProcessable(f"{detail}: `restore` makes it again, with all that", rule="org") from None
        return state, None
    return await read_org(store, caller, org), made


async def delete_org(store: ConfigStore, caller: Principal, org: str, reason: str) -> None:
    """Stop an org's doors: no principal, no key, and of its documents only the `retention` of what it left. Raises NotFound, Forbidden,
    LastAdmin."""
    check_system(caller)
    if not await store.delete_org(check_org(org), author(caller, org), reason):
        raise NotFound(f"there is no org {org}")
