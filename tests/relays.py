"""Relays at work, as the logger's pod has them: under a watch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from functions.logger.relay import Relay
from functions.logger.watching import Watching
from shared.adapters.redis.relay_watch import RedisRelayWatch


@asynccontextmanager
async def watching(redis_url: str, worker: str, look_s: float = 0.05) -> AsyncIterator[Watching]:
    """The watch over a worker's relays of shard 0, for the time of the block."""
    watch = RedisRelayWatch(redis_url, 0, worker)
    watched = Watching(watch, look_s)
    looking = asyncio.create_task(watched.run())
    try:
        yield watched
    finally:
        watched.stop()
        await looking
        await watch.close()


@asynccontextmanager
async def at_work(relay: Relay, redis_url: str, worker: str) -> AsyncIterator[None]:
    """One relay of shard 0 at work, for the time of the block."""
    async with watching(redis_url, worker) as watched:
        stop = asyncio.Event()
        running = asyncio.create_task(watched.keep(relay, stop))
        try:
            yield
        finally:
            stop.set()
            await running
