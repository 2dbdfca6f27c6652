"""One client of the feed: its WebSocket from the opening request to the close (contracts.md, "Watching")."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from functions.websocket.cursor import unseal
from functions.websocket.handler import Watch, heartbeat
from functions.websocket.live import Feed
from functions.websocket.outgoing import INTERNAL, POLICY, TOO_BIG, TRY_LATER, UNSUPPORTED, Close, Outgoing
from functions.websocket.subscription import Subscription, from_frame, from_query, view_of
from shared.domain.errors import Malformed, Overloaded, SwitchboardError, Unavailable
from shared.domain.principal import Principal
from shared.edge.asgi import Receive, Scope, Send
from shared.edge.problems import problem_document
from shared.view import encode

SUBPROTOCOL = "switchboard.feed.v1"

Who = Callable[[], Principal]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may cost. Seconds, bytes and counts."""

    clients: int = 1_000
    send: float = 10.0  # a client that takes nothing for so long is closed with 1013
    quiet: float = 15.0  # then a heartbeat
    check: float = 0.5  # how often its key is looked at when nothing happens: it ends within a second of its token, or of its key's removal
    first_frame: float = 1.0  # how long a client without query parameters has to say what it wants
    frame_bytes: int = 64 * 1024  # of a frame from the client
    frames: int = 10  # from the client within ten seconds


async def serve(scope: Scope, receive: Receive, send: Send, feed: Feed, keys: Sequence[bytes], who: Who, limits: Limits) -> None:
    """Serve one client whose opening request was authenticated; `who` says as whom, and raises once that is over.

    Raises SwitchboardError before the WebSocket is accepted: the edge answers with the problem.
    """
    principal = who()
    view = view_of(principal, Subscription())
    if feed.of_orgs[principal.org] >= limits.clients - len(feed.clients):  # an org may have as many as it leaves free
        raise Overloaded("too many clients watch here", retry_after_ms=5_000, status=503)
    await receive()  # websocket.connect
    client = _Client(receive, Outgoing(scope, send, limits.send), who, keys, limits)
    async with feed.watched(client.wake, principal.org):
        watch = Watch(feed, keys, view, org=principal.org)  # from now on: what comes while the handshake is under way is seen
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        try:
            await client.run(scope, watch)
        finally:
            watch.close()


class _Client:
    """The two sides of an accepted WebSocket: what it sends us, and what it is shown."""

    def __init__(self, receive: Receive, outgoing: Outgoing, who: Who, keys: Sequence[bytes], limits: Limits) -> None:
        self.wake = asyncio.Event()
        self._receive, self._outgoing, self._who, self._keys, self._limits = receive, outgoing, who, keys, limits
        self._asked: Subscription | None = None  # what the client wants from the next frame on
        self._wanted = Subscription()
        self._principal: Principal | None = None

    async def run(self, scope: Scope, watch: Watch) -> None:
        """Until either side ends it. Never raises for what a client does."""
        try:
            self._asked = _of_query(scope)
            await self._both(watch)
        except Close as close:
            await self._outgoing.close(close.code, close.reason)
        except SwitchboardError as error:
            await self._refuse(error)
        except OSError:  # it is gone (ASGI spec 2.4: send() after a disconnect)
            return

    async def _both(self, watch: Watch) -> None:
        sides = [asyncio.create_task(self._listen()), asyncio.create_task(self._show(watch))]
        try:
            done, _ = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for side in sides:
                side.cancel()
            await asyncio.gather(*sides, return_exceptions=True)
        for side in done:
            side.result()

    # ---- from the client ----

    async def _listen(self) -> None:
        recent: list[float] = []
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                return
            now = time.monotonic()
            recent = [moment for moment in recent if now - moment < 10] + [now]
            if len(recent) > self._limits.frames:
                raise Close(POLICY, "too many frames")
            text = event.get("text")
            if text is None:
                raise Close(UNSUPPORTED, "the feed takes text frames")
            if len(text) > self._limits.frame_bytes:
                raise Close(TOO_BIG, "the frame is too long")
            self._asked = from_frame(text)
            self.wake.set()

    # ---- to the client ----

    async def _show(self, watch: Watch) -> None:
        await self._first_frame()
        await self._refresh(watch)
        if not self._wanted.cursor:
            await self._outgoing.text(watch.cursor_frame())  # who is cut off before the first message can come back, too
        told, last = watch.positions, time.monotonic()
        while True:
            self.wake.clear()
            await self._refresh(watch)
            if text := await self._next(watch):
                await self._outgoing.text(text)
                told, last = watch.positions, time.monotonic()
                continue
            if time.monotonic() - last >= self._limits.quiet:
                if told != watch.positions:  # what it may not see went by: an old cursor would fall out of the window
                    await self._outgoing.text(watch.cursor_frame())
                await self._outgoing.text(heartbeat())
                told, last = watch.positions, time.monotonic()
            wait = watch.owed() or self._limits.check
            await self._woken(min(wait, self._limits.check, max(last + self._limits.quiet - time.monotonic(), 0)))

    async def _next(self, watch: Watch) -> str | None:
        try:
            return await watch.next()
        except Unavailable:  # it is far behind, and Redis is away: heartbeats until it comes back
            return None

    async def _first_frame(self) -> None:
        deadline = time.monotonic() + self._limits.first_frame
        while self._asked is None and (left := deadline - time.monotonic()) > 0:
            self.wake.clear()
            await self._woken(left)

    async def _refresh(self, watch: Watch) -> None:
        """Take up what the client asked for and what its principal may do now. Raises Unauthenticated once its key is gone, and Unavailable
        where Redis is needed for it and can't be read."""
        principal = self._who()
        asked, self._asked = self._asked, None
        if asked is None and principal == self._principal:
            return
        self._principal = principal
        if asked is not None:
            self._wanted = asked
            if asked.cursor:
                watch.go_to(unseal(asked.cursor, self._keys))
            elif asked.begin:
                await watch.go_to_unstored()
        watch.look(view_of(principal, self._wanted))

    async def _woken(self, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                await self.wake.wait()
        except TimeoutError:
            return

    # ---- the end ----

    async def _refuse(self, error: SwitchboardError) -> None:
        code = TRY_LATER if error.status in (429, 503) else INTERNAL if error.status >= 500 else POLICY
        with contextlib.suppress(Close, OSError):  # the close says enough
            await self._outgoing.text(encode({"error": problem_document(error)}).decode())
        await self._outgoing.close(code, error.title)


def _of_query(scope: Scope) -> Subscription | None:
    text = scope.get("query_string", b"").decode("latin-1")
    try:
        return from_query(parse_qsl(text, keep_blank_values=True, max_num_fields=20, errors="strict"))
    except ValueError as error:
        raise Malformed("the query string can't be read") from error
