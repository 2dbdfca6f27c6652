"""`filter`: what the store finds, and a CEL expression is true of. A request looks at so much, and its cursor goes on from there."""

import asyncio
from collections.abc import Callable
from itertools import chain
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
LONGEST_PAUSE = 0.2  # seconds


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


async def sift(store: MessageStore, wanted: Search, filter: Filter, turn: asyncio.Lock, clock: Callable[[], float] = monotonic) -> Sifted:
    """At most `wanted.limit` rows that match: fewer, or none, where ROWS or SECONDS were spent before, or bodies are big.

    `turn` is had by whoever evaluates, and for as long again as that took: of a process's time all filters together take half, however many
    are asked at once.
    """
    rows: list[StoredMessage] = []
    end, seen, size, limit = wanted.before, 0, 0, clock() + SECONDS
    while seen < ROWS and clock() < limit:
        found = await store.search(msgspec.structs.replace(wanted, limit=PART, before=end))
        left = iter(found)
        for first in left:
            async with turn:
                began = clock()
                for row in chain((first,), left):
                    end, seen = (row.message.received_at, row.record_id), seen + 1
                    if filter.matches(row):
                        rows.append(row)
                        size += len(row.message.body or b"")
                    now = clock()
                    full = len(rows) >= wanted.limit or size >= PAGE_BYTES or now >= limit
                    if full or now >= began + SLICE:
                        break
                await asyncio.sleep(min(clock() - began, LONGEST_PAUSE))
            if full:
                return Sifted(rows, end)
        if len(found) < PART:
            return Sifted(rows, None)
    return Sifted(rows, end)
