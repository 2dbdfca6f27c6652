"""What answers of config look like: documents with their entity tags, revisions, and what they changed."""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import Response
from starlette.status import HTTP_200_OK

from shared.domain.revisions import Change, Document, Revision
from shared.edge.writing import tagged_answer
from shared.view import time_text


def document_answer(document: Document, status: int = HTTP_200_OK) -> Response:
    """The very text of a document, with its entity tag."""
    return tagged_answer(document.text, status, document.revision)


def revision_view(revision: Revision) -> dict[str, object]:
    """`{revision, org, path, author, time, reason, action, before, after}` (contracts.md, "Shapes").

    Where a revision changed more than what it is named after (a rollback), `before` and `after` are objects by path.
    """
    before, after = before_and_after(revision.path, revision.changes)
    return {
        "revision": revision.revision,
        "org": revision.org or None,
        "path": revision.path,
        "author": revision.author,
        "time": time_text(revision.time),
        "reason": revision.reason,
        "action": revision.action,
        "before": before,
        "after": after,
    }


def before_and_after(path: str, changes: Sequence[Change]) -> tuple[object, object]:
    """What was, and what is: of the path itself where that is all that changed, else by path."""
    if not changes:
        return None, None
    if len(changes) == 1 and changes[0].path == path:
        return _raw(changes[0].before), _raw(changes[0].after)
    was = {change.path: _raw(change.before) for change in changes if change.before is not None}
    now = {change.path: _raw(change.after) for change in changes if change.after is not None}
    return was, now


def change_view(change: Change) -> dict[str, object]:
    """`{path, before, after}`."""
    return {"path": change.path, "before": _raw(change.before), "after": _raw(change.after)}


def _raw(text: bytes | None) -> Any:
    return None if text is None else msgspec.Raw(text)
