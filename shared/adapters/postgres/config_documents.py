"""Documents and revisions in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from shared.adapters.postgres.config_rows import ConfigRows, Entry, check_open
from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.statements import statement
from shared.domain.config.together import check_together, has_rules
from shared.domain.revisions import Change, Document, Revision, Stale, Write, check_bounds, check_expected

DOCUMENTS, DOCUMENT_SIZES, DOCUMENTS_MOVED, KEEP_DOCUMENT, REVISIONS, REVISION_CHANGES = (
    statement(name) for name in ("documents", "document_sizes", "documents_moved", "keep_document", "revisions", "revision_changes")
)
REVISION = statement("revision")
PAGE_BYTES = 4 * 1024 * 1024  # of texts in one list of revisions


class DocumentRows(ConfigRows):
    """The part of ConfigStore that is about documents."""

    async def current(self) -> int:
        [[revision]] = await self._fetch(REVISION, {})
        return int(revision)

    async def document(self, org: str, path: str) -> Document | None:
        found = await self._fetch(DOCUMENTS, {"org": org, "path": path, "revision": None})
        return Document(found[0][1].encode(), found[0][2]) if found else None

    async def documents(self, org: str, revision: int | None = None) -> dict[str, Document]:
        rows = await self._fetch(DOCUMENTS, {"org": org, "path": None, "revision": revision})
        return {path: Document(text.encode(), since) for path, text, since in rows}

    async def write_documents(self, org: str, wanted: Write, author: str, reason: str = "") -> int:
        async def work(connection: Connection, revision: int) -> bool:
            await check_open(connection, org)
            sizes = await _checked(connection, org, wanted)
            for path, text in wanted.documents.items():
                sizes.pop(path, None)
                if text is not None:
                    sizes[path] = len(text)
                value = None if text is None else text.decode()
                await connection.execute(KEEP_DOCUMENT, {"org": org, "path": path, "value": value})
            if any(text is not None for text in wanted.documents.values()):
                check_bounds(sizes)
            if any(text is not None and has_rules(text) for text in wanted.documents.values()):
                rows = await (await connection.execute(DOCUMENTS, {"org": org, "path": None, "revision": None})).fetchall()
                check_together({path: text.encode() for path, text, _ in rows})
            return True

        return await self._change(Entry(org, author, wanted.action, wanted.path, reason), work) or 0

    async def revisions(self, org: str | None, limit: int, before: int | None = None, path: str | None = None) -> list[Revision]:
        rows = await self._fetch(REVISIONS, {"org": org, "limit": limit, "before": before, "path": path, "number": None})
        size = 0
        for place, row in enumerate(rows):
            size += row[7]
            if place and size > PAGE_BYTES:
                rows = rows[:place]
                break
        return await self._told(rows)

    async def revision(self, org: str | None, number: int) -> Revision | None:
        values = {"org": org, "limit": 1, "before": None, "path": None, "number": number}
        found = await self._told(await self._fetch(REVISIONS, values))
        return found[0] if found else None

    async def _told(self, rows: Sequence[Sequence[Any]]) -> list[Revision]:
        """The revisions of these rows, with what each changed."""
        changes: dict[int, list[Change]] = {row[0]: [] for row in rows}
        for number, path, before, after in await self._fetch(REVISION_CHANGES, {"revisions": list(changes)}):
            changes[number].append(Change(path, _bytes(before), _bytes(after)))
        return [_revision(row, changes[row[0]]) for row in rows]


async def _checked(connection: Connection, org: str, wanted: Write) -> dict[str, int]:
    """The org's documents by path, their size in bytes. Raises Stale unless they are as the write expects them."""
    rows = await (await connection.execute(DOCUMENT_SIZES, {"org": org})).fetchall()
    check_expected(wanted, {path: since for path, since, _ in rows})
    if wanted.unchanged_since is not None:
        values = {"org": org, "revision": wanted.unchanged_since}
        [[moved]] = await (await connection.execute(DOCUMENTS_MOVED, values)).fetchall()
        if moved:
            raise Stale("documents of the org were changed meanwhile", None)
    return {path: size for path, _, size in rows}


def _revision(row: Sequence[Any], changes: list[Change]) -> Revision:
    number, org, author, time, action, path, reason = row[:7]
    return Revision(number, org, author, time, action, path, reason, tuple(changes))


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
