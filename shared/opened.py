"""What one process opened of the outside: made when it is first asked for, once, and closed in order."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, cast, runtime_checkable

from shared.domain.errors import Unavailable

log = logging.getLogger(__name__)
Held = TypeVar("Held")
Closing = Callable[[], Awaitable[None]]

OPENING = 5.0  # seconds a server has to answer when an adapter is opened
# Last opened is not last closed: what still publishes goes first, then the log its delivery records ride on, then the store.
DRAIN = ("backbones", "log", "received", "store", "config", "hub")
# What can say whether it answered when it was last asked
REACHED = ("log", "feed", "config", "hub-config", "hub", "check-constraints", "route", "log-batch", "sink", "redis-door", "broker")
CALLED = {"hub-config": "config"}  # by /readyz and metrics


class Opened:
    """Things by name. `once` makes them, `close` ends them all."""

    def __init__(self) -> None:
        self._held: dict[str, object] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._closing: dict[str, Closing] = {}
        self._lost: set[str] = set()
        self._closed = False

    async def once(self, name: str, make: Callable[[], Awaitable[tuple[Held, Closing | None]]]) -> Held:
        """What `make` returned when it was first called under this name: the thing, and how to close it.

        A failed call is forgotten, so that the next one tries again. Raises what make() raises; Unavailable after OPENING seconds, and
        once everything is closed.
        """
        if name not in self._held:
            async with self._locks.setdefault(name, asyncio.Lock()):
                if name not in self._held:
                    if self._closed:
                        raise Unavailable("shutting down: retry with the same id", retry_after_ms=1000)
                    held, closing = await self._make(name, make)
                    self._held[name] = held
                    if closing is not None:
                        self._closing[name] = closing
        return cast("Held", self._held[name])

    async def _make(self, name: str, make: Callable[[], Awaitable[tuple[Held, Closing | None]]]) -> tuple[Held, Closing | None]:
        try:
            made = await asyncio.wait_for(make(), OPENING)
        except TimeoutError as error:
            self._lost.add(name)
            raise Unavailable(f"the {name} did not answer in {OPENING:g} s; retry with the same id") from error
        except Unavailable:
            self._lost.add(name)
            raise
        self._lost.discard(name)
        return made

    def held(self, name: str) -> object | None:
        """What was made under this name, if it was."""
        return self._held.get(name)

    def unreachable(self) -> set[str]:
        """The names of what could not be opened when it was last tried, or did not answer when it was last asked."""
        asked = {CALLED.get(name, name) for name in REACHED if isinstance(held := self._held.get(name), Reaches) and not held.reachable()}
        return self._lost | asked

    async def close(self) -> None:
        """Close whatever was made with once() first, then the adapters, in the order of DRAIN.

        What is being made now is waited for: nobody would close it later. A connection to NATS that was left so swallowed the loop's last
        cancel (asyncio.wait_for of Python 3.11), and the process never ended.
        """
        self._closed = True
        for lock in list(self._locks.values()):
            async with lock:
                pass
        names = [name for name in reversed(self._closing) if name not in DRAIN] + [name for name in DRAIN if name in self._closing]
        for name in names:
            try:
                await self._closing.pop(name)()
            except Exception:
                log.exception("closing %s failed", name)
        self._held.clear()


Startable = TypeVar("Startable", bound="Starts")


@runtime_checkable
class Reaches(Protocol):
    """An adapter that can say whether its server answered when it was last asked."""

    def reachable(self) -> bool: ...


@runtime_checkable
class Holds(Protocol):
    """A log that knows which backbones are left to the relay: they don't answer, whatever the connection says."""

    def held(self) -> list[str]: ...


class Starts(Protocol):
    """An adapter that holds connections."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def started(adapter: Startable) -> Startable:
    """The adapter, started; stopped again where that fails, so that nothing of it stays behind."""
    try:
        await adapter.start()
    except BaseException:
        await adapter.stop()
        raise
    return adapter
