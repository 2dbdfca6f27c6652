"""The submit lists of the Redis door: elements move in batches into the worker's processing list, in the same slot.

The key names are docs/internals.md's, "The Redis door". A worker that holds something of an org is in that org's `workers`, with its last
heartbeat; one that holds nothing is nowhere, so that an idle door writes nothing.
"""

import secrets
from collections.abc import Sequence
from itertools import count
from typing import Any

from shared.adapters.redis.joined import Joined
from shared.adapters.redis.keys import door_prefix, rejected_list, submit_list
from shared.adapters.redis.link import Argument
from shared.adapters.redis.resp import Refused
from shared.adapters.redis.scripts import script
from shared.domain.replyto import is_receipts_list
from shared.domain.submitted import Batch, Element, Oversized, Settlement, Side

GONE_AFTER_MS = 5_000  # without a heartbeat
TAKE_BYTES, TAKE_ELEMENTS = 1024 * 1024, 1_000
LARGEST = 8 * 1024 * 1024  # bytes of an element: a batch's limit at every door
HEAD = 64 * 1024  # bytes of a larger one that are read
REJECTED = 1_000  # kept
REJECTED_BYTES = 16 * 1024 * 1024
RECEIPT_LISTS = 256
RECEIPTS_MS = 3_600_000  # without a new one
AGAIN, WRONG_TYPE = 1, 2


class RedisSubmitLists:
    """The SubmitLists port on Redis. `limit_bytes` is what an org's submit list may hold, and half of it its receipts together."""

    def __init__(self, url: str, *, limit_bytes: int = 256 * 1024 * 1024, worker: str | None = None) -> None:
        self.worker = worker or secrets.token_hex(8)
        self.dropped = 0  # receipts that found no room
        self._numbers = count(1)  # of batches
        self._limit = limit_bytes
        self._calls = Joined(url)

    async def close(self) -> None:
        """Let the connection go."""
        await self._calls.close()

    def reachable(self) -> bool:
        """Whether the Redis answered when it was last asked, and let the door write."""
        return self._calls.reachable

    async def waiting(self, orgs: Sequence[str]) -> list[str]:
        """See SubmitLists.waiting."""
        lengths = await self._calls.ask([(b"LLEN", submit_list(org)) for org in orgs]) if orgs else []
        return [org for org, length in zip(orgs, lengths, strict=True) if length != 0]  # an error reply too: take() says what is wrong

    async def take(self, org: str, side: Side = "taken") -> Batch:
        """See SubmitLists.take."""
        limits = (self._limit, TAKE_BYTES, TAKE_ELEMENTS, LARGEST, HEAD)
        kind, *found = await self._calls.run(script("door_take"), *self._place(org), side, *limits, next(self._numbers))
        if kind == WRONG_TYPE:
            return Batch(wrong_type=found[0].decode())
        if not found:
            return Batch([])
        number, deaths, *elements = found
        return Batch([_element(one) for one in elements], kind == AGAIN, None, number, deaths)

    async def settle(self, org: str, side: Side, batch: Batch, done: int, told: Settlement) -> bool:
        """See SubmitLists.settle."""
        receipts: dict[str, list[bytes]] = {}
        for replyto, receipt in told.receipts:
            if is_receipts_list(replyto, org):
                receipts.setdefault(replyto, []).append(receipt)
            else:
                self.dropped += 1
        listed: list[Argument] = []
        for replyto, some in receipts.items():
            listed += (replyto, len(some), *some)
        bounds: tuple[Argument, ...] = (rejected_list(org), REJECTED, REJECTED_BYTES, self._limit // 2, RECEIPT_LISTS, RECEIPTS_MS)
        rejected: tuple[Argument, ...] = (len(told.rejected), *told.rejected)
        held = (batch.number, len(batch.elements))
        reply = await self._calls.run(script("door_settle"), *self._place(org), side, *held, done, *bounds, *rejected, *listed)
        self.dropped += max(reply, 0)
        return bool(reply >= 0)

    async def beat(self, orgs: Sequence[str]) -> None:
        """See SubmitLists.beat."""
        if orgs:
            await self._calls.run_each(script("door_beat"), [self._place(org) for org in orgs])

    async def recover(self, orgs: Sequence[str]) -> int:
        """See SubmitLists.recover."""
        if not orgs:
            return 0
        moved = await self._calls.run_each(script("door_recover"), [(*self._place(org), GONE_AFTER_MS) for org in orgs])
        return sum(number for number in moved if not isinstance(number, Refused))  # where the key is no list, it waits

    async def leave(self, orgs: Sequence[str]) -> None:
        """See SubmitLists.leave."""
        if orgs:
            await self._calls.run_each(script("door_leave"), [self._place(org) for org in orgs])

    def _place(self, org: str) -> tuple[str, str, str]:
        """What every script is told first."""
        return submit_list(org), door_prefix(org), self.worker


def _element(found: Any) -> Element:
    return found if isinstance(found, bytes) else Oversized(*found)
