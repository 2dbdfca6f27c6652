"""The Redis door from a client's side: events pushed one by one, and what each is told: a receipt, a rejection, or nothing but the log."""

import asyncio
import base64
import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from shared.domain.record import Accepted, Attempt
from tests.waiting import eventually

Receipt = dict[str, Any]
Records = Callable[[], dict[str, list[Accepted | Attempt]]]

AT_ONCE = 200  # elements a push
MEMBERS = 60  # an event with more is near the limit of attributes, and `replyto` would be one more
WITHIN = 60.0  # seconds for what is sent at once


class Lists:
    """LPUSH on the org's submit list. `client` is redis.asyncio's, `records` what the log has."""

    name = "redis"

    def __init__(self, client: Any, org: str, records: Records) -> None:
        self._client, self._records = client, records
        self._submit, self._rejected, self._receipts = (f"sb:{kind}:{{{org}}}" for kind in ("submit", "rejected", "receipts"))
        self._taken = f"sb:door:{{{org}}}:taken:*"

    async def send(self, events: Sequence[bytes]) -> list[Receipt]:
        """What is told of each: its receipt where it can say where it wants one, else its rejection; else what the log has of it."""
        return await self._send(events, False)

    async def send_array(self, events: Sequence[bytes]) -> list[Receipt]:
        """The same, of one array of them."""
        return await self._send(events, True)

    async def _send(self, events: Sequence[bytes], as_array: bool) -> list[Receipt]:
        place = f"{self._receipts}:{uuid4().hex}"
        await self._client.delete(self._rejected)  # of tests before
        elements = [with_replyto(event, place) for event in events]
        pushed = [b"[" + b",".join(elements) + b"]"] if as_array else elements
        for start in range(0, len(pushed), AT_ONCE):
            await self._client.lpush(self._submit, *pushed[start : start + AT_ONCE])
        await eventually(self._settled, within=WITHIN)
        receipts = deque(map(json.loads, await self._client.lrange(place, 0, -1)))
        rejected = deque(map(json.loads, await self._client.lrange(self._rejected, 0, -1)))
        found = [self._told(event, element, receipts, rejected) for event, element in zip(events, elements, strict=True)]
        assert not receipts
        assert not rejected
        return [
            await asyncio.to_thread(self._logged, event) if receipt is None else receipt
            for event, receipt in zip(events, found, strict=True)
        ]

    async def _settled(self) -> bool:
        """Whether the door has let go of everything: what leaves the list of submits is in a worker's until its outcome is told."""
        return not await self._client.exists(self._submit) and not await self._client.keys(self._taken)

    def _told(self, event: bytes, element: bytes, receipts: deque[Receipt], rejected: deque[Receipt]) -> Receipt | None:
        """The next receipt, of an element that asks for one, or the next rejection, if it is this element's: both come in order."""
        reject = rejected.popleft() if rejected and _is_of(rejected[0], element) else None
        if element is not event:
            return receipts.popleft()
        if reject is None:
            return None
        return {"id": None, "status": "malformed", "problem": {"status": 400, "detail": reject["reason"], "errors": reject["errors"]}}

    def _logged(self, event: bytes) -> Receipt:
        (record, *_) = self._records()[json.loads(event)["id"]]
        assert isinstance(record, Accepted)
        return {"id": str(record.message.id), "status": "accepted"}


def with_replyto(event: bytes, place: str) -> bytes:
    """The event as it is spelled, with a place for its receipt before all else; the very same where it is no object, or too full."""
    try:
        members = json.loads(event, parse_int=str) if event.startswith(b"{") else None
    except (ValueError, RecursionError):
        return event
    if not isinstance(members, dict) or len(members) > MEMBERS:
        return event
    return b'{"replyto":' + json.dumps(place).encode() + (b"," if members else b"") + event[1:]


def _is_of(reject: Receipt, element: bytes) -> bool:
    """Whether it was this element, or one of its length that begins as it does, that was rejected."""
    raw = base64.b64decode(reject["raw_base64"]) if "raw_base64" in reject else str(reject["raw"]).encode()
    return reject["bytes"] == len(element) and element.startswith(raw)
