"""An org's requests: worked off in groups as they come, each answered with its receipt. What can't be answered isn't taken."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from shared.codec.receipts import encode_receipt
from shared.domain.errors import SwitchboardError
from shared.domain.replyto import is_inbox
from shared.domain.verdict import Refusal
from shared.edge.flight import Share

GROUPS = 8  # in flight at once: the log gathers them once more
MAX_GROUP = 512

log = logging.getLogger(__name__)


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request as it came."""

    subject: bytes
    headers: bytes | None
    payload: bytes
    reply: str


Answer = Callable[[Sequence[Request]], Awaitable[list[bytes]]]
Send = Callable[[Sequence[tuple[str, bytes]]], None]


class Requests:
    """Takes one org's requests. `answer` gives the receipt of each, as JSON."""

    def __init__(self, org: str, answer: Answer, send: Send, share: Share) -> None:
        self.unanswerable = 0  # requests without a reply subject, or with one that isn't the org's
        self._org, self._answer, self._send, self._share = org, answer, send, share
        self._waiting: list[Request] = []
        self._running: set[asyncio.Task[None]] = set()
        self._soon = False
        self._loop = asyncio.get_running_loop()

    def take(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes | None) -> None:
        """One came. Over the org's share of the process's room the answer is 429 at once: NATS can't slow a requester down otherwise."""
        where = reply.decode(errors="replace")
        if not is_inbox(where, self._org):
            self.unanswerable += 1
            return
        share, size = self._share, len(payload) + len(headers or b"")
        if not share.fits(size):
            self._send([(where, encode_receipt(Refusal(share.flight.overloaded())))])
            return
        share.enter(1, size)
        self._waiting.append(Request(subject, headers, payload, where))
        if not self._soon:
            self._soon = True
            self._loop.call_soon(self._begin)

    async def drain(self) -> None:
        """Returns when everything taken has its answer."""
        while self._running or self._waiting:
            self._begin()
            await asyncio.wait(self._running)

    def _begin(self) -> None:
        self._soon = False
        while self._waiting and len(self._running) < GROUPS:
            group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
            task = asyncio.create_task(self._work(group), name=f"requests-{self._org}")
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._begin()

    async def _work(self, group: Sequence[Request]) -> None:
        try:
            receipts = await self._answer(group)
        except Exception:
            log.exception("%d requests failed", len(group))
            failed = SwitchboardError("something failed here; the operator's log says what")
            receipts = [encode_receipt(Refusal(failed))] * len(group)
        self._send([(one.reply, receipt) for one, receipt in zip(group, receipts, strict=True)])
        self._share.leave(len(group), sum([len(one.payload) + len(one.headers or b"") for one in group]))
