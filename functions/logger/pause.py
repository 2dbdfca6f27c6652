"""A pause that ends early: how the logger's loops wait, and how they are told to end.

They are never cancelled: redis-py 8.1 loses a cancellation that comes while it connects, and whoever waits for the task waits for ever.
"""

import asyncio


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event is set, now or within that time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
