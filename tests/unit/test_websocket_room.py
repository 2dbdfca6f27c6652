"""How many connections to the events door one org may have."""

from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

import pytest

from functions.websocket.protocol import Unfinished
from functions.websocket.publishing import Bounds, EventsDoor
from shared.domain.errors import Overloaded
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.snapshot import Snapshot
from shared.edge.asgi import Event
from shared.edge.metrics import Counters


class LetIn(Exception):
    pass


class Snapshots:
    current = Snapshot(1, {})


async def never(event: Event) -> NoReturn:
    raise AssertionError(event)


async def submit(messages: Sequence[Message], principal: Principal) -> NoReturn:
    raise AssertionError(messages, principal)


async def connect_() -> NoReturn:
    raise LetIn


async def test_another_org_is_let_in_when_one_has_as_many_connections_as_it_leaves_free() -> None:
    """One org's 500 connections, idle or not, kept every other org out of the process."""
    door = EventsDoor(submit, Snapshots(), Counters(), bounds=Bounds(connections=6), connections=3, of_orgs=Counter({"acme": 3}))
    scope = {"subprotocols": ["switchboard.events.v1"], "headers": []}
    with pytest.raises(Overloaded):
        await door.serve(scope, connect_, never, lambda: Principal("p", "acme", ()))
    with pytest.raises(LetIn):
        await door.serve(scope, connect_, never, lambda: Principal("p", "globex", ()))


def test_an_org_holds_too_much_when_it_leaves_less_than_that_free() -> None:
    held = Unfinished(limit=10)
    held.hold("acme", 5)
    assert not held.too_much("acme")
    held.hold("acme", 1)
    assert held.too_much("acme")
    held.hold("globex", 2)
    assert not held.too_much("globex")
    held.hold("acme", -6)
    held.hold("globex", -2)
    assert held.bytes == 0
