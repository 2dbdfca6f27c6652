"""Pages of lists that are in memory whole: the cursor is the name of the last one shown."""

from collections.abc import Sequence

from fastapi import Query

from functions.registry_crud.views import id_of
from shared.domain.registry.deciding import Kept

MOST = 1_000
LIMIT = Query(MOST, ge=1, le=MOST)
CURSOR = Query(None, max_length=100, description="`next` of the page before.")


def page_of(found: Sequence[Kept], limit: int, cursor: str | None) -> tuple[list[Kept], str | None]:
    """A page of what is in order of its ids, and where the next begins."""
    behind = [kept for kept in found if cursor is None or id_of(kept.declared) > cursor]
    return behind[:limit], id_of(behind[limit - 1].declared) if len(behind) > limit else None
