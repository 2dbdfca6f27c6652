"""What a process opens is closed, whenever the end comes."""

import asyncio

import pytest

from shared.domain.errors import Misconfigured, Unavailable
from shared.opened import Closing, Opened


async def test_what_is_being_made_is_closed_when_the_end_comes_before_it_is_there() -> None:
    opened, may_go_on, closed = Opened(), asyncio.Event(), list[str]()

    async def slow() -> tuple[str, Closing]:
        await may_go_on.wait()
        return "a connection", close

    async def close() -> None:
        closed.append("slow")

    async def wrong() -> tuple[str, Closing]:
        raise Misconfigured("the other one")

    making = asyncio.ensure_future(asyncio.gather(opened.once("slow", slow), opened.once("wrong", wrong)))
    with pytest.raises(Misconfigured):
        await making  # as a start ends: the other one is still on its way
    closing = asyncio.create_task(opened.close())
    await asyncio.sleep(0)
    may_go_on.set()
    await closing
    assert closed == ["slow"]


async def test_nothing_is_made_when_everything_is_closed() -> None:
    opened = Opened()
    await opened.close()

    async def make() -> tuple[str, None]:
        raise AssertionError("made")

    with pytest.raises(Unavailable, match="shutting down"):
        await opened.once("late", make)
