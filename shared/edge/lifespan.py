"""Running another app's lifespan (ASGI spec 2.0, "Lifespan Protocol"): a mounted app's own is not run for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.edge.asgi import ASGIApp, Event


@asynccontextmanager
async def lifespan_of(app: ASGIApp) -> AsyncIterator[None]:
    """Start the app, and stop it after the block. An app without a lifespan (it raises, or returns at once) is left alone.

    Raises what a failing start raised, or RuntimeError with the message the app gave.
    """
    to_app: asyncio.Queue[Event] = asyncio.Queue()
    from_app: asyncio.Queue[Event] = asyncio.Queue()
    running = asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, to_app.get, from_app.put))
    started = await _next(from_app, running, to_app, "lifespan.startup")
    try:
        yield
    finally:
        if started:
            await _next(from_app, running, to_app, "lifespan.shutdown")
        await asyncio.wait([running])


async def _next(from_app: "asyncio.Queue[Event]", running: "asyncio.Future[None]", to_app: "asyncio.Queue[Event]", type: str) -> bool:
    """Tell the app, and wait for its word. False when it has no lifespan."""
    await to_app.put({"type": type})
    word = asyncio.ensure_future(from_app.get())
    await asyncio.wait((word, running), return_when=asyncio.FIRST_COMPLETED)
    if not word.done():
        word.cancel()
        running.exception()  # seen: an app that knows no lifespan may raise
        return False
    event = word.result()
    if event["type"].endswith(".failed"):
        await asyncio.wait((running,), timeout=1.0)  # it raises right after
        error = running.exception() if running.done() else None
        raise error or RuntimeError(event.get("message") or f"{type} failed")
    return True
