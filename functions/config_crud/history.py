"""What config was: revisions, what lies between two of them, and going back to one."""

from collections.abc import Mapping
from typing import NamedTuple

from functions.config_crud.access import READ, WRITE, check_system, reach_all
from functions.config_crud.documents import Admit
from shared.domain.authority import author
from shared.domain.config.reading import pointer
from shared.domain.errors import Fault, Malformed, NotFound, NotProcessable, Unavailable
from shared.domain.json_text import parse
from shared.domain.principal import Principal
from shared.domain.revisions import GLOBAL_ORG, Change, Document, Revision, Stale, Write
from shared.ports import ConfigDocuments

TRIES = 10  # of a rollback that other changes come before


class Between(NamedTuple):
    """What differs between two states."""

    start: int
    end: int
    changes: list[Change]


async def list_revisions(
    store: ConfigDocuments, caller: Principal, org: str | None, limit: int, before: int | None, path: str | None
) -> tuple[list[Revision], int | None]:
    """A page of the revisions that touched the org or everybody, newest first, and where the next page begins. Raises Forbidden."""
    found = await store.revisions(reach_all(caller, org, READ), limit + 1, before, path)
    page = found[:limit]
    more = len(found) > limit or bool(page and await store.revisions(reach_all(caller, org, READ), 1, page[-1].revision, path))
    return page, page[-1].revision if more else None


async def read_revision(store: ConfigDocuments, caller: Principal, org: str | None, number: int) -> Revision:
    """One revision. Raises NotFound, for another org's too; Forbidden."""
    found = await store.revision(reach_all(caller, org, READ), number)
    if found is None:
        raise NotFound(f"no revision {number}, or it did not touch this org")
    return found


async def diff(store: ConfigDocuments, caller: Principal, org: str | None, start: int, end: int | None) -> Between:
    """What became of the org's documents, and of `global`, from one state to another; `end` None: the one in force.

    Raises Forbidden; Malformed naming the parameter for a revision that is to come.
    """
    whose = reach_all(caller, org, READ)
    latest = await store.current()
    last = latest if end is None else end
    for name, number in (("from", start), ("to", last)):
        if number > latest:
            raise Malformed(f"{name}: there is no revision {number} yet", faults=[Fault(name, "in the future")])
    changes: list[Change] = []
    for one in (GLOBAL_ORG, whose):
        changes += _changes(await store.documents(one, start), await store.documents(one, last))
    return Between(start, last, changes)


async def rollback(
    store: ConfigDocuments, admit: Admit, caller: Principal, org: str | None, to: int, reason: str, *, everybodys: bool = False
) -> tuple[int | None, list[Change]]:
    """Make the org's documents the very bytes they were at revision `to`, all in one revision: that, None where nothing differs, and
    what it changed. Principals, keys and grants stay. With `everybodys` it is about the document `global`, and no other.

    Raises Forbidden; NotProcessable for a revision to come, and where a document it would restore doesn't hold any more.
    """
    whose = reach_all(caller, org, WRITE)
    if everybodys:
        check_system(caller)
        whose = GLOBAL_ORG
    for _ in range(TRIES):
        latest = await store.current()
        if to > latest:
            raise NotProcessable(f"there is no revision {to} yet", rule="rollback", faults=[Fault("/to", "in the future")])
        changes = _changes(await store.documents(whose), await store.documents(whose, to))
        if not changes:
            return None, []
        await _admit_all(admit, whose, to, changes)
        wanted = Write("document.rollback", "rollback", {one.path: one.after for one in changes}, unchanged_since=latest)
        try:
            return await store.write_documents(whose, wanted, author(caller, whose), reason or f"rollback to {to}"), changes
        except Stale:
            continue
    raise Unavailable("config is changed all the time; try again", retry_after_ms=1000)


async def _admit_all(admit: Admit, org: str, to: int, changes: list[Change]) -> None:
    """Raise NotProcessable naming the first document that doesn't hold any more: then nothing is rolled back."""
    for change in changes:
        if change.after is None:
            continue
        try:
            await admit(org, change.path, parse(change.after), trial=False)
        except NotProcessable as error:
            faults = [Fault(pointer(change.path) + fault.pointer, fault.detail) for fault in error.faults]
            detail = f"{change.path} of revision {to} doesn't hold any more: {error.detail}"
            raise NotProcessable(detail, rule="rollback", faults=faults) from error


def _changes(before: Mapping[str, Document], after: Mapping[str, Document]) -> list[Change]:
    texts = [(path, before.get(path), after.get(path)) for path in sorted(before.keys() | after.keys())]
    told = [Change(path, was.text if was else None, now.text if now else None) for path, was, now in texts]
    return [change for change in told if change.before != change.after]
