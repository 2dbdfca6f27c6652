"""`/v1/events` as a WebSocket: events in, receipts out in the order sent (contracts.md, "The four doors give one verdict").

What arrives while a group of frames is judged and written down is the next group. Beyond a connection's bounds nothing more is read
from it: the sender waits, and the memory stays.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from functions.door import Submit, handle
from functions.websocket.outgoing import POLICY, RESTART, TEXTS, TRY_LATER, UNSUPPORTED, Close, Outgoing
from functions.websocket.subprotocols import Items, Subprotocol, chosen, refusal_of
from shared.codec import Context, trace_of
from shared.domain.errors import Overloaded, SwitchboardError, Unauthenticated
from shared.domain.message import Extension
from shared.domain.principal import Principal
from shared.domain.verdict import Outcome, Refusal
from shared.edge.asgi import Receive, Scope, Send, header
from shared.edge.flight import Flight, Share
from shared.edge.metrics import Counters
from shared.edge.principals import Snapshots

log = logging.getLogger(__name__)

Who = Callable[[], Principal]
GONE = 1000  # the client has ended it: nobody is told anything


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may cost. Seconds, bytes and counts."""

    connections: int = 500
    frames: int = 1_000  # read and not answered
    bytes: int = 8 * 1024 * 1024  # of them; the last frame may go over
    group: int = 1_000  # events that are submitted together; the last frame may go over
    send: float = 10.0  # a client that takes no receipt for so long is closed with 1013
    check: float = 0.4  # how often its credential is looked at; the config is followed every half second


@dataclass
class EventsDoor:
    """The events door of a process. `flight` bounds all its connections together, of which an org may hold as much as it leaves free."""

    submit: Submit
    snapshots: Snapshots
    counters: Counters
    cluster: str = "local"
    bounds: Bounds = field(default_factory=Bounds)
    flight: Flight = field(default_factory=Flight)
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    of_orgs: Counter[str] = field(default_factory=Counter)  # connections
    shares: dict[str, Share] = field(default_factory=dict)  # of the orgs that have some

    async def serve(self, scope: Scope, receive: Receive, send: Send, who: Who) -> None:
        """Serve one client; `who` says as whom, and raises Unauthenticated once that is over.

        Raises SwitchboardError before the WebSocket is accepted: the edge answers with the problem.
        """
        subprotocol = chosen(scope.get("subprotocols", ()), self.cluster)
        org = who().org
        if self.of_orgs[org] >= self.bounds.connections - self.connections:  # it may have as many as it leaves free
            raise Overloaded("too many clients publish here over WebSockets", retry_after_ms=5_000, status=503)
        await receive()  # websocket.connect
        self.connections += 1
        self.of_orgs[org] += 1
        try:
            await send({"type": "websocket.accept", "subprotocol": subprotocol.name})
            trace = trace_of(scope["headers"]) if header(scope, b"traceparent") is not None else None
            share = self.shares.setdefault(org, Share(self.flight))
            server: dict[str, Any] = scope.get("extensions", {}).get(TEXTS, {})
            server["org"] = org  # for what our server holds of it
            taken = server.get("taken", lambda size: None)
            await _Connection(self, share, subprotocol, receive, taken, Outgoing(scope, send, self.bounds.send), who, trace).run()
        finally:
            self.connections -= 1
            self.of_orgs -= Counter((org,))  # which forgets those that have none
            if org not in self.of_orgs:
                self.shares.pop(org, None)


@dataclass
class _Taken:
    """A frame, with what was read in it; `refused` is why it was refused as a whole."""

    frame: bytes
    items: Items
    refused: Refusal | None = None


class _Connection:
    """The way of one client's frames: listened to, worked off in order, and watched while its credential holds."""

    def __init__(
        self,
        door: EventsDoor,
        share: Share,
        subprotocol: Subprotocol,
        receive: Receive,
        taken: Callable[[int], None],
        outgoing: Outgoing,
        who: Who,
        trace: Mapping[str, Extension] | None,
    ) -> None:
        self._door, self._subprotocol, self._receive, self._outgoing = door, subprotocol, receive, outgoing
        self._share, self._taken, self._who, self._trace = share, taken, who, trace
        self._waiting: deque[bytes] = deque()
        self._frames = self._bytes = 0  # read and not answered; the bytes are in `share`, too
        self._wake, self._end = asyncio.Event(), Close(GONE, "")
        self._ended = self._gone = False

    async def run(self) -> None:
        """Until either side ends it. What was read by then is worked off, its receipts sent where somebody is there to take them."""
        try:
            await self._serve()
        finally:
            self._share.leave(0, self._bytes)
            self._door.freed.set()

    async def _serve(self) -> None:
        working, listening, watching = (asyncio.create_task(side) for side in (self._work(), self._listen(), self._watch()))
        try:
            done, _ = await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching in done:  # the credential is over: told now; what is in hand is finished, it can't be taken back
                await self._close(watching)
                self._gone = True
        finally:
            for side in (listening, watching):
                side.cancel()
            await asyncio.gather(listening, watching, return_exceptions=True)
        await self._close(working)

    async def _close(self, ended: Awaitable[None]) -> None:
        close = self._end
        try:
            await ended
        except Close as error:
            close = error
        except Unauthenticated as error:
            close = Close(POLICY, error.title)
        except SwitchboardError as error:
            close = Close(TRY_LATER, error.title)
        if not self._gone and close.code != GONE:
            await self._outgoing.close(close.code, close.reason)

    # ---- from the client ----

    async def _listen(self) -> None:
        try:
            while (frame := await self._next()) is not None:
                while self._full():
                    self._door.freed.clear()
                    await self._door.freed.wait()
                self._taken(len(frame))
                self._waiting.append(frame)
                self._frames += 1
                self._bytes += len(frame)
                self._share.enter(0, len(frame))
                self._wake.set()
        finally:
            self._ended = True
            self._wake.set()

    async def _next(self) -> bytes | None:
        """The next text frame; None where there will be none any more, and `_end` says how it ends."""
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            if event.get("code") == RESTART:  # our own server stops: what is in hand is answered first
                self._end = Close(RESTART, "the server restarts: connect anew")
            return None
        if (utf8 := event.get("utf8")) is not None:
            return bytes(utf8)
        if (text := event.get("text")) is not None:
            return str(text).encode(errors="surrogatepass")
        self._end = Close(UNSUPPORTED, "events come in text frames")
        return None

    def _full(self) -> bool:
        bounds = self._door.bounds
        return self._frames >= bounds.frames or self._bytes >= bounds.bytes or not self._share.fits()

    async def _watch(self) -> None:
        """Ends when the credential does. Raises Unauthenticated."""
        while True:
            await asyncio.sleep(self._door.bounds.check)
            self._who()

    # ---- to the client ----

    async def _work(self) -> None:
        while self._waiting or not self._ended:
            if self._waiting:
                await self._group()
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _group(self) -> None:
        """Take what waits, up to a group; submit it; answer each frame."""
        principal = self._who()
        context = Context(
            principal.org, "websocket", principal.name, time.time_ns() // 1000, self._door.snapshots.current.revision, self._trace
        )
        taken: list[_Taken] = []
        events = size = 0
        while self._waiting and events < self._door.bounds.group:
            one = self._read(self._waiting.popleft(), context)
            taken.append(one)
            events += len(one.items)
            size += len(one.frame)
        self._share.enter(events, 0)
        try:
            outcomes = await handle([item for one in taken for item in one.items], principal, self._door.submit)
        finally:
            self._share.leave(events, 0)
            self._door.freed.set()
        await self._answer(taken, outcomes)
        self._frames -= len(taken)
        self._bytes -= size
        self._share.leave(0, size)
        self._door.freed.set()

    def _read(self, frame: bytes, context: Context) -> _Taken:
        try:
            return _Taken(frame, self._subprotocol.decode(frame, context))
        except SwitchboardError as error:
            return _Taken(frame, [], Refusal(error, refusal_of(error)))

    async def _answer(self, taken: list[_Taken], outcomes: Sequence[Outcome]) -> None:
        answers, place = [], 0
        for one in taken:
            own: Sequence[Outcome] = outcomes[place : place + len(one.items)] if one.refused is None else [one.refused]
            place += len(one.items)
            self._door.counters.count(own)
            answers.append(self._subprotocol.answer(one.frame, one.items, own))
        if not self._gone:
            try:
                await self._outgoing.texts(answers)
            except OSError:  # it went; what it sent is worked off all the same
                self._gone = True
