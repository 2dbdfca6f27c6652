"""Finding messages and explaining them: by id, by what they say, and step by step. Nobody sees more than their read grants allow."""

from collections.abc import Sequence

import msgspec

from shared.domain.errors import Forbidden, NotFound
from shared.domain.message import uuid_text
from shared.domain.names import check_org
from shared.domain.principal import Grant, Principal
from shared.domain.record import DeadLetter
from shared.domain.stored import Search, StoredMessage
from shared.ports import MessageStore

PART = 128  # rows fetched at once
PAGE_BYTES = 16 * 1024 * 1024  # of bodies: a page ends with the part that goes over it


class Found(msgspec.Struct, frozen=True):
    """What there is of one message id, as far as the caller may read it.

    `newest` is the newest accepted row, else the newest attempt; `earlier` the other accepted rows, newest first; `attempts` counts
    the refusals; `rows` are all rows, oldest first.
    """

    newest: StoredMessage
    earlier: tuple[StoredMessage, ...]
    attempts: int
    rows: tuple[StoredMessage, ...]
    dead_letters: tuple[DeadLetter, ...]


class Page(msgspec.Struct, frozen=True):
    """A part of a list. `more` says whether rows follow."""

    rows: Sequence[StoredMessage]
    more: bool


async def find(store: MessageStore, caller: Principal, org: str | None, id: bytes) -> Found:
    """The message with this id (16 bytes) in the caller's org, or in `org` for a system admin.

    Raises Forbidden without any read grant, and NotFound where there is no row that the caller may read: another org's message, one
    outside the grants and none at all look the same.
    """
    org, _ = reach(caller, org)
    history = await store.history(org, id)
    rows = [row for row in history.rows if _may_read(caller, row)] if history else []
    if history is None or not rows:
        raise NotFound(f"no message {uuid_text(id)}")
    accepted = [row for row in rows if row.verdict == "accepted"]
    all_readable = len(rows) == len(history.rows)
    return Found(
        newest=(accepted or rows)[0],
        earlier=tuple(accepted[1:]),
        attempts=history.attempts if all_readable else sum(row.verdict == "blocked" for row in rows),
        rows=tuple(reversed(rows)),
        dead_letters=history.dead_letters if accepted else (),
    )


async def search(store: MessageStore, wanted: Search) -> Page:
    """Rows newest first, at most `wanted.limit`, and fewer where their bodies are big; `org` and `readable` are what reach() gave.

    Rows are fetched in parts, so that a page of big bodies is cut before it fills the memory.
    """
    rows: list[StoredMessage] = []
    size = 0
    while len(rows) <= wanted.limit and size < PAGE_BYTES:
        part = min(PART, wanted.limit + 1 - len(rows))
        last = (rows[-1].message.received_at, rows[-1].record_id) if rows else wanted.before
        found = await store.search(msgspec.structs.replace(wanted, limit=part, before=last))
        rows += found
        size += sum(len(row.message.body or b"") for row in found)
        if len(found) < part:
            return Page(rows[: wanted.limit], more=len(rows) > wanted.limit)
    return Page(rows[: wanted.limit], more=True)


def reach(caller: Principal, org: str | None) -> tuple[str, tuple[Grant, ...]]:
    """The org whose messages are asked for, and the caller's grants to read there.

    Raises Forbidden for another org than the caller's, unless the caller is a system admin, and without any grant to read.
    """
    if org is not None and check_org(org) != caller.org and not caller.system:
        raise Forbidden(f"only a system admin may ask for another org than {caller.org}")
    readable = tuple(grant for grant in caller.grants if grant.action in ("read", "admin"))
    if not readable:
        raise Forbidden("reading messages takes a grant with the action read", rule="grant")
    return org or caller.org, readable


def _may_read(caller: Principal, row: StoredMessage) -> bool:
    return caller.may_touch("read", row.message.topic, row.message.subject)
