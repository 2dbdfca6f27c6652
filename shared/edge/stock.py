"""Functions under the stock runner, `functions-framework --target <function>`: it makes the app itself, and knows no lifespan of ours."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.applications import Starlette

from shared.edge.asgi import ASGIApp
from shared.resources import Resources

_starting = asyncio.Lock()
Made = TypeVar("Made", bound=ASGIApp)


async def served(app: Starlette, make: Callable[[Resources], Made]) -> Made:
    """What `build` put into the app's state as `served`; made with the first request where the stock runner made the app.

    Raises Misconfigured.
    """
    async with _starting:
        if not hasattr(app.state, "served"):
            resources = Resources.from_env()
            await resources.start()
            app.state.served = make(resources)
    made: Made = app.state.served
    return made
