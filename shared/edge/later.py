"""An ASGI app that is made when the first request for it comes: a start doesn't wait for what its first event doesn't need."""

import asyncio
from collections.abc import Awaitable, Callable

from shared.edge.asgi import ASGIApp, Receive, Scope, Send


class Later:
    """Answers as the app that `make` returns, which is called once, in a thread: what it imports doesn't stop the loop. `start` runs when
    the server starts, and may raise; the app's own lifespan is not run."""

    def __init__(self, make: Callable[[], ASGIApp], start: Callable[[], Awaitable[None]]) -> None:
        self._make, self._start = make, start
        self._made: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app's answer; or the lifespan, which is `start` and nothing at the end."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await (self._made or await self._app())(scope, receive, send)

    async def _app(self) -> ASGIApp:
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
            return self._made

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
