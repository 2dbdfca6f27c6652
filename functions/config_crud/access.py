"""Who may do what to config: which org is meant, and whether the caller's grants reach that far."""

from shared.domain.authority import holds_all, rules_all
from shared.domain.config.paths import Path
from shared.domain.errors import Fault, Forbidden, Malformed
from shared.domain.names import check_org
from shared.domain.principal import Grant, Principal
from shared.domain.revisions import GLOBAL_ORG

READ, WRITE = "config:read", "config:write"


def reach(caller: Principal, org: str | None, action: str) -> str:
    """The org that is meant: the caller's, or `org` for a system admin. `action` is `config:read` or `config:write`.

    Raises Forbidden without a grant for the action, and for another org than the caller's unless the caller is a system admin.
    """
    if not caller.may(action) and not (action == READ and caller.may(WRITE)):
        raise Forbidden(f"this takes a grant with the action {action}", rule="grant")
    if org is not None and check_org(org) != caller.org and not caller.system:
        raise Forbidden(f"only a system admin may ask for another org than {caller.org}")
    return org or caller.org


def reach_document(caller: Principal, org: str | None, path: Path, action: str) -> str:
    """The org that the document of a path is kept under.

    A grant on topics or subjects goes as far as they do: `topics/orders.>` takes one whose topics cover `orders.>`, for all subjects.
    Raises Forbidden; Malformed where `org` is given for `global`.
    """
    whose = reach(caller, org, action)
    topics, subjects = (path.pattern if path.layer == layer else wide for layer, wide in (("topics", ">"), ("subjects", "*")))
    _check_covers(caller, action, topics, subjects, path.text)
    if path.layer != "global":
        return whose
    if org is not None:
        raise Malformed("the document global is no org's: leave out org", faults=[Fault("org", "not with global")])
    if not caller.system:
        raise Forbidden("the document global is for system admins")
    return GLOBAL_ORG


def reach_all(caller: Principal, org: str | None, action: str) -> str:
    """The org that is meant, where all of its config is asked for. Raises Forbidden."""
    whose = reach(caller, org, action)
    _check_covers(caller, action, ">", "*", "all of the config")
    return whose


def reach_topic(caller: Principal, org: str | None, topic: str, subject: str | None) -> str:
    """The org that is meant, where what holds for a topic and subject is asked for. Raises Forbidden."""
    whose = reach(caller, org, READ)
    if not any(caller.may_touch(action, topic, subject) for action in (READ, WRITE)):
        raise Forbidden(f"no grant to read the config of topic {topic!r}", rule="grant")
    return whose


def check_system(caller: Principal) -> None:
    """Raise Forbidden unless the caller is a system admin that may do everything."""
    if not rules_all(caller):
        raise Forbidden("this is for system admins with an unlimited grant admin")


def _check_covers(caller: Principal, action: str, topics: str, subjects: str, what: str) -> None:
    actions = (READ, WRITE) if action == READ else (WRITE,)
    if not any(holds_all(caller.grants, [Grant(one, (topics,), (subjects,))]) for one in actions):
        raise Forbidden(f"no grant with the action {action} goes as far as {what}", rule="grant")
