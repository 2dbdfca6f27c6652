"""Config as it is kept: documents with the revision that made each so, what a write is to find and to leave, and what a revision did.

A document is its canonical JSON text; the store keeps every text there ever was, so that a rollback restores the very bytes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from shared.domain.errors import Conflict, Fault, NotProcessable

GLOBAL_ORG = ""  # whose the document `global` is
GLOBAL = "global"  # its path

MAX_DOCUMENTS = 1_000  # of an org
MAX_ORG_BYTES = 8 * 1024 * 1024  # of all documents of an org
MAX_PRINCIPALS = 10_000  # of an org: every process has those of all orgs in memory, as it has their keys
MAX_GRANTS_BYTES = 8 * 1024 * 1024  # of all grants of an org
MAX_KEYS = 20_000  # of an org


class Document(msgspec.Struct, frozen=True):
    """A document in force. `text` is canonical JSON; `revision`, which last changed it, is its ETag."""

    text: bytes
    revision: int


class Write(msgspec.Struct, frozen=True):
    """A change of an org's documents, all of it or nothing.

    `documents` maps paths to texts, None for what is to go. `expected` maps paths to the revision a document must have now, 0 where
    there must be none. `unchanged_since`: no document of the org may have changed after that revision. `action` and `path` say in
    revision and audit what it is.
    """

    action: str
    path: str
    documents: Mapping[str, bytes | None]
    expected: Mapping[str, int] = {}
    unchanged_since: int | None = None


class Change(msgspec.Struct, frozen=True):
    """What became of one path: JSON texts, None where there was or is nothing."""

    path: str
    before: bytes | None
    after: bytes | None


class Revision(msgspec.Struct, frozen=True):
    """One config revision. `time` is in microseconds since 1970; `changes` are documents and principals, never keys."""

    revision: int
    org: str
    author: str
    time: int
    action: str
    path: str
    reason: str
    changes: tuple[Change, ...] = ()


class OrgState(msgspec.Struct, frozen=True):
    """An org: `deleted` is when its doors were stopped, RFC 3339, None while they are open."""

    org: str
    created: str
    deleted: str | None = None


class NewOrg(msgspec.Struct, frozen=True):
    """An org as it was made: the revision, and the first admin's key, which is shown this once."""

    revision: int
    key_id: str
    key: str


class Stale(Conflict):
    """The thing isn't as the writer expected it. `revision` is its ETag now, None where it isn't there or where many are meant."""

    def __init__(self, detail: str, revision: int | None) -> None:
        super().__init__(detail)
        self.revision = revision


class Guard(NamedTuple):
    """A request's preconditions (RFC 9110, 13.1): `match` are the revisions of If-Match, `exists` is its `*`, `create` If-None-Match: *."""

    match: frozenset[int] | None = None
    exists: bool = False
    create: bool = False

    def check(self, path: str, revision: int | None) -> None:
        """Raise Stale unless what is at the path, by its revision, is as the request wants it."""
        if self.create and revision is not None:
            raise Stale(f"{path} is there already", revision)
        if (self.exists and revision is None) or (self.match is not None and revision not in self.match):
            raise Stale(f"{path} isn't there" if revision is None else f'{path} was changed: its ETag is "{revision}"', revision)


class LastAdmin(NotProcessable):
    """Nobody could repair the install any more."""

    def __init__(self) -> None:
        super().__init__("no other system admin has a key and the grant admin")


def check_bounds(documents: Mapping[str, int]) -> None:
    """Raise NotProcessable where an org's documents, by path their size in bytes, are more than it may have."""
    if len(documents) > MAX_DOCUMENTS:
        raise NotProcessable(f"an org has at most {MAX_DOCUMENTS} documents", rule="document")
    if sum(documents.values()) > MAX_ORG_BYTES:
        raise NotProcessable(f"the documents of an org have at most {MAX_ORG_BYTES} bytes together", rule="document")


class Held(NamedTuple):
    """How many principals and keys an org has, and how many bytes all their grants take as JSON."""

    principals: int
    grants_bytes: int
    keys: int


def check_held(before: Held, now: Held) -> None:
    """Raise NotProcessable where an org has more than it may have, and more than before: less is always possible."""
    bounds = (MAX_PRINCIPALS, MAX_GRANTS_BYTES, MAX_KEYS)
    names = (("name", "principals"), ("/grants", "bytes of grants"), ("name", "keys"))
    for was, count, most, (pointer, name) in zip(before, now, bounds, names, strict=True):
        if count > most and count > was:
            detail = f"an org has at most {most} {name}"
            raise NotProcessable(detail, rule="principals", faults=[Fault(pointer, detail)])


def check_expected(wanted: Write, now: Mapping[str, int]) -> None:
    """Raise Stale unless the documents, by path their revision, are as the write expects them."""
    for path, revision in wanted.expected.items():
        if now.get(path, 0) != revision:
            raise Stale(f"{path} is not as expected: {_is_now(now.get(path))}", now.get(path))


def _is_now(revision: int | None) -> str:
    return "it isn't there" if revision is None else f'its ETag is "{revision}"'
