"""How long loops pause after failures; and a pause that ends early: how the loops of the logger and the sources wait, and are told to end.

They are never cancelled: a call that is cut short costs its connection, and nobody knows what it did.
"""

import asyncio


def doubled(first: float, longest: float, failures: int) -> float:
    """Seconds until the next attempt, after so many failures in a row (one or more): `first`, doubled each time, at most `longest`."""
    return min(first * 2.0 ** min(failures - 1, 10), longest)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event is set, now or within that time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
