"""Config documents: put, patch, delete and read, one at a time. What isn't changed by a write makes no revision."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from functions.config_crud.access import READ, WRITE, reach_all, reach_document
from shared.domain.authority import author
from shared.domain.config.patch import merge_patch
from shared.domain.config.paths import Path, parse_path
from shared.domain.errors import Fault, NotFound, NotProcessable, Unavailable
from shared.domain.json_text import canonical, parse
from shared.domain.principal import Principal
from shared.domain.revisions import Document, Guard, Stale, Write
from shared.ports import ConfigDocuments, ConfigStore

TRIES = 20  # of a write that others come before


class Admit(Protocol):
    """Says whether a document may be published. Raises NotProcessable with a pointer to every fault.

    Without `trial` its rules are compiled and no more: they were tried when they were new. Without `publish` it is only asked about.
    """

    async def __call__(self, org: str, path: str, value: Any, *, trial: bool = True, publish: bool = True) -> None: ...


class Target(NamedTuple):
    """What a write is about: the caller's `org` parameter, the document's path, the preconditions and the reason."""

    org: str | None
    path: Path
    guard: Guard = Guard()
    reason: str = ""


class Written(NamedTuple):
    """The document as it is now, and whether it is new, or was changed at all."""

    document: Document
    created: bool
    changed: bool


Becomes = Callable[[Document | None], Awaitable[bytes | None]]


def path_of(text: str) -> Path:
    """The path that a request names. Raises NotProcessable where it names none, or has control characters in it."""
    if not text.isprintable():
        raise NotProcessable("a path is printable text", rule="document", faults=[Fault("/path", "not printable")])
    return parse_path(text)


async def read_document(store: ConfigDocuments, caller: Principal, org: str | None, path: Path) -> Document:
    """One document. Raises NotFound, Forbidden."""
    found = await store.document(reach_document(caller, org, path, READ), path.text)
    if found is None:
        raise _unknown(path)
    return found


async def list_documents(store: ConfigDocuments, caller: Principal, org: str | None) -> dict[str, Document]:
    """The documents of an org by path, without `global`. Raises Forbidden."""
    return await store.documents(reach_all(caller, org, READ))


async def put_document(store: ConfigStore, admit: Admit, caller: Principal, target: Target, value: Any) -> Written:
    """Make the document what `value` is. Raises Forbidden, Stale, NotFound for an org that isn't there, and NotProcessable for a document
    that doesn't hold."""
    whose = await _reach_org(store, caller, target)
    text = canonical(value)
    admitted = False

    async def becomes(found: Document | None) -> bytes:
        nonlocal admitted
        if not admitted and (found is None or found.text != text):
            await admit(whose, target.path.text, value)
            admitted = True
        return text

    return await _write(store, caller, whose, target, "document.put", becomes)


async def patch_document(store: ConfigStore, admit: Admit, caller: Principal, target: Target, patch: Any) -> Written:
    """Apply a merge patch (RFC 7396) to the stored document; where there is none, to an empty one. Raises as put_document() does."""
    whose = await _reach_org(store, caller, target)

    async def becomes(found: Document | None) -> bytes:
        value = merge_patch({} if found is None else parse(found.text), patch)
        text = canonical(value)
        if found is None or found.text != text:
            await admit(whose, target.path.text, value)
        return text

    return await _write(store, caller, whose, target, "document.patch", becomes)


async def delete_document(store: ConfigDocuments, caller: Principal, target: Target) -> int:
    """Remove the document; the revision that did. Raises NotFound, Forbidden, Stale."""
    whose = reach_document(caller, target.org, target.path, WRITE)

    async def becomes(found: Document | None) -> None:
        if found is None:
            raise _unknown(target.path)

    return (await _write(store, caller, whose, target, "document.delete", becomes)).document.revision


async def _reach_org(store: ConfigStore, caller: Principal, target: Target) -> str:
    """The org that is written to: no document makes one. Raises as reach_document() does, and NotFound."""
    whose = reach_document(caller, target.org, target.path, WRITE)
    if target.org not in (None, caller.org) and not await store.orgs(whose):
        raise NotFound(f"there is no org {whose}: make it first (`switchboard org add {whose}`)", faults=[Fault("org", "no such org")])
    return whose


async def _write(store: ConfigDocuments, caller: Principal, whose: str, target: Target, action: str, becomes: Becomes) -> Written:
    """Read, decide, and write if nobody wrote meanwhile, else again: what is decided is decided on what is replaced."""
    path = target.path.text
    for _ in range(TRIES):
        found = await store.document(whose, path)
        target.guard.check(path, None if found is None else found.revision)
        text = await becomes(found)
        if found is not None and text == found.text:
            return Written(found, created=False, changed=False)
        wanted = Write(action, path, {path: text}, expected={path: 0 if found is None else found.revision})
        try:
            revision = await store.write_documents(whose, wanted, author(caller, whose), target.reason)
        except Stale:
            continue
        return Written(Document(text or b"", revision), created=found is None, changed=True)
    raise Unavailable(f"{path} is changed all the time; try again", retry_after_ms=1000)


def _unknown(path: Path) -> NotFound:
    return NotFound(f"there is no document {path.text}")
