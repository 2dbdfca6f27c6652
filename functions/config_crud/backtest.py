"""Backtest: which logged messages would have another verdict if a document were another. Live state is never touched."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from shared.domain.config.paths import ANY_SUBJECT, Path
from shared.domain.principal import Grant, Principal
from shared.domain.rules.again import Logged, Tally
from shared.domain.stored import Search, StoredMessage
from shared.ports import MessageStore

PAGE = 1_000  # messages
PAGE_BYTES = 8 * 1024 * 1024  # of bodies: a page is cut where it goes over
FIRST = 100  # flips told whole

Place = tuple[int, bytes]
Texts = Mapping[str, Mapping[str, bytes]]


class Judge(Protocol):
    """What judges pages of messages, oldest first."""

    async def page(self, logged: list[Logged]) -> Tally: ...


class Judged(Protocol):
    """Begins to judge by documents; tells `first` flips whole."""

    def __call__(self, documents: Texts, first: int) -> AbstractAsyncContextManager[Judge]: ...


class Progress(msgspec.Struct, frozen=True):
    """How far it is: `after` is the place (received_at, record id) of the last message, None before the first; `complete`: there are no
    more."""

    tally: Tally
    after: Place | None
    complete: bool


class Span(msgspec.Struct, frozen=True):
    """Which messages: received from `since` until before `until` (microseconds since 1970), behind `after`, at most `limit`, oldest
    first."""

    since: int
    until: int
    limit: int
    after: Place | None = None


def wanted(org: str, path: Path, span: Span, readable: tuple[Grant, ...]) -> Search:
    """The messages a document at that path is for, as far as they may be read."""
    topic = path.pattern if path.layer == "topics" else None
    subject = path.pattern if path.layer == "subjects" and path.pattern not in ANY_SUBJECT else None
    return Search(org=org, readable=readable, topic=topic, subject=subject, since=span.since, until=span.until, limit=PAGE)


def readable(caller: Principal) -> tuple[Grant, ...]:
    """The caller's grants to read messages."""
    return tuple(grant for grant in caller.grants if grant.action in ("read", "admin"))


async def backtest(store: MessageStore, search: Search, span: Span, documents: Texts, judged: Judged) -> AsyncGenerator[Progress]:
    """Progress after every page, the last one with all of it. Raises Unavailable."""
    async with judged(documents, FIRST) as judge:
        examined, after, tally = 0, span.after, Tally()
        while True:
            rows = await store.scan(msgspec.structs.replace(search, limit=min(PAGE, span.limit - examined)), after)
            rows = _bounded(rows)
            if not rows:
                yield Progress(tally, after, complete=True)
                return
            tally = await judge.page([_logged(row) for row in rows])
            examined += len(rows)
            after = rows[-1].message.received_at, rows[-1].record_id
            if examined >= span.limit:
                more = await store.scan(msgspec.structs.replace(search, limit=1), after)
                yield Progress(tally, after, complete=not more)
                return
            yield Progress(tally, after, complete=False)
            await asyncio.sleep(0)  # others in this process go between two pages


def _bounded(rows: list[StoredMessage]) -> list[StoredMessage]:
    size = 0
    for place, row in enumerate(rows):
        size += len(row.message.body or b"")
        if size > PAGE_BYTES and place:
            return rows[:place]
    return rows


def _logged(row: StoredMessage) -> Logged:
    return Logged(row.message, row.rule, row.verdict == "accepted", row.cut)
