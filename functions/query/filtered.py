"""`filter`: what the store finds, and a CEL expression is true of. A request looks at so much, and its cursor goes on from there."""

import asyncio
from collections.abc import Callable
from time import monotonic

import msgspec

from functions.query.handler import PAGE_BYTES, PART
from functions.query.parameters import wrong
from shared.domain.rules.filter import Filter
from shared.domain.stored import Search, StoredMessage
from shared.ports import MessageStore

ROWS = 10_000  # looked at for one request
SECONDS = 5.0  # for all of it
WORK = 5_000_000  # of one message: 100 ms
SLICE = 0.01  # seconds of evaluating after which others have their turn


def compiled(text: str) -> Filter:
    """The filter of a request. Raises Malformed naming `filter` for a text that is none."""
    try:
        return Filter(text, WORK)
    except ValueError as error:
        raise wrong("filter", str(error)) from error


class Sifted(msgspec.Struct, frozen=True):
    """What matched, newest first. `end` is the last row that was looked at, where others may follow; None: there are none."""

    rows: list[StoredMessage]
    end: tuple[int, bytes] | None


async def sift(store: MessageStore, wanted: Search, filter: Filter, clock: Callable[[], float] = monotonic) -> Sifted:
    """At most `wanted.limit` rows that match: fewer, or none, where ROWS or SECONDS were spent before, or bodies are big."""
    rows: list[StoredMessage] = []
    end, seen, size, limit = wanted.before, 0, 0, clock() + SECONDS
    turn = clock() + SLICE
    while seen < ROWS and clock() < limit:
        found = await store.search(msgspec.structs.replace(wanted, limit=PART, before=end))
        turn = clock() + SLICE
        for row in found:
            end, seen = (row.message.received_at, row.record_id), seen + 1
            if filter.matches(row):
                rows.append(row)
                size += len(row.message.body or b"")
            now = clock()
            if len(rows) >= wanted.limit or size >= PAGE_BYTES or now >= limit:
                return Sifted(rows, end)
            if now >= turn:
                await asyncio.sleep(0)
                turn = clock() + SLICE
        if len(found) < PART:
            return Sifted(rows, None)
    return Sifted(rows, end)
