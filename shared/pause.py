"""A pause that ends early: how the loops of the logger and the sources wait, and how they are told to end.

They are never cancelled: a call that is cut short costs its connection, and nobody knows what it did.
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
