"""Who may do what to the registry: an org's own is its own, what is shared is for all to see and for system admins to change."""

from collections.abc import Collection

import msgspec

from shared.domain.authority import holds_all
from shared.domain.errors import Forbidden
from shared.domain.names import check_org
from shared.domain.principal import Grant, Principal
from shared.domain.registry.shapes import SHARED

READ, WRITE = "registry:read", "registry:write"


def check_may(caller: Principal, action: str) -> None:
    """Raise Forbidden without an unlimited grant for the action: backbones are for all topics. Who may write may read."""
    actions = (READ, WRITE) if action == READ else (WRITE,)
    if not any(holds_all(caller.grants, [Grant(one)]) for one in actions):
        raise Forbidden(f"this takes a grant with the action {action} on all topics and subjects", rule="grant")


def seen_orgs(caller: Principal, org: str | None) -> Collection[str]:
    """Whose clusters and backbones are meant: the caller's, or those of `org` for a system admin, and the shared ones. Raises Forbidden."""
    check_may(caller, READ)
    if org is not None and check_org(org) != caller.org and not caller.system:
        raise Forbidden(f"only a system admin may ask for another org than {caller.org}")
    return (org or caller.org, SHARED)


def owner(caller: Principal, org: str | msgspec.UnsetType | None) -> str:
    """The org that something new is to be of: the caller's where none is said, shared where it is null. Raises Forbidden."""
    check_may(caller, WRITE)
    if org is msgspec.UNSET or org == caller.org:
        return caller.org
    if not caller.system:
        what = "what is shared is" if org is None else f"only {caller.org}'s own is yours: other orgs' are"
        raise Forbidden(f"{what} for system admins")
    return SHARED if org is None else check_org(str(org))


def check_changes(caller: Principal, org: str) -> None:
    """Raise Forbidden where the caller sees it, and may not change it."""
    check_may(caller, WRITE)
    if org != caller.org and not caller.system:
        raise Forbidden("what is shared is for system admins")
