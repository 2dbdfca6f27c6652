"""Waiting for conditions: the one place in the tests where time passes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

Found = TypeVar("Found")

STEP = 0.02  # seconds between two looks
WITHIN = 90.0  # seconds: what takes one or two on a quiet machine, and thirty on one with four others at work


@overload
async def eventually(check: Callable[[], Awaitable[Found]], within: float = WITHIN, step: float = STEP) -> Found: ...


@overload
async def eventually(check: Callable[[], Found], within: float = WITHIN, step: float = STEP) -> Found: ...


async def eventually(check: Callable[[], Any], within: float = WITHIN, step: float = STEP) -> Any:
    """The first true value that `check` gives; it may be a plain or an async function, and may assert instead of returning False. `step`:
    seconds between two looks, for one that costs something.

    Raises AssertionError with the last answer, or check's own AssertionError, when `within` seconds have passed.
    """
    deadline = time.monotonic() + within
    while True:
        failure: AssertionError | None = None
        answer: object = None
        try:
            outcome = check()
            found = await outcome if inspect.isawaitable(outcome) else outcome
            answer = found
            if found:
                return found
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"not within {within} s; the last answer was {answer!r}")
        await asyncio.sleep(step)


def eventually_now(check: Callable[[], Found], within: float = WITHIN, step: float = STEP) -> Found:
    """The same for tests without an event loop."""
    deadline = time.monotonic() + within
    while True:
        failure: AssertionError | None = None
        found: Found | None = None
        try:
            if found := check():
                return found
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"not within {within} s; the last answer was {found!r}")
        time.sleep(step)
