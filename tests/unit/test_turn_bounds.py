"""What one turn of the loop may bring: bounds hold within it, and what fails for one request is that request's."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import pytest

from functions.door import Tell
from functions.ingest.turn import Turn
from shared.domain.in_a_row import ReceiptsInARow, StoredInARow
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.edge.flight import Flight
from shared.edge.whole import head_of
from tests.unit.doors import BATCH, STRUCTURED, Doorway, accepted, event
from tests.unit.served import request
from tests.waiting import eventually


class Connections:
    """Requests that come whole in one turn, each on a connection of its own, and what they are answered."""

    def __init__(self, doorway: Doorway) -> None:
        self.answers: dict[int, bytes] = {}
        self._doorway = doorway

    def send(self, number: int, headers: dict[str, str], content: object) -> None:
        sent = request(headers, json.dumps(content).encode())
        end = sent.index(b"\r\n\r\n") + 4
        head = head_of(sent, end)
        assert head is not None
        self._doorway.door.whole(head, sent[end:], None, self._answer(number))

    def _answer(self, number: int) -> Callable[[bytes], None]:
        def answer(response: bytes) -> None:
            assert number not in self.answers, "answered twice"
            self.answers[number] = response

        return answer

    def statuses(self) -> list[int]:
        return [int(self.answers[number].split()[1]) for number in sorted(self.answers)]


HOP = {**STRUCTURED, "prefer": "reply"}
SENT: dict[str, tuple[dict[str, str], Any, int]] = {
    "single events": (STRUCTURED, event(), 1),
    "batches": (BATCH, [event("1"), event("2")], 2),
    "hops": (HOP, event(), 1),
}


@pytest.mark.parametrize("kind", SENT)
async def test_no_more_is_in_flight_than_may_be_when_it_comes_in_one_turn(kind: str) -> None:
    headers, content, count = SENT[kind]
    doorway = Doorway(Flight(max_events=4))
    doorway.go.clear()
    connections = Connections(doorway)
    for number in range(6):
        connections.send(number, headers, content)
    fit = 4 // count
    await eventually(lambda: len(doorway.submitted) == 4)
    assert doorway.flight.events == 4
    assert sorted(connections.answers) == list(range(fit, 6))
    assert connections.statuses() == [429] * (6 - fit)
    doorway.go.set()
    await eventually(lambda: len(connections.answers) == 6)
    assert (doorway.flight.events, doorway.flight.bytes) == (0, 0)
    assert doorway.counters.accepted == 4


@pytest.mark.parametrize("kind", SENT)
async def test_no_more_bytes_are_in_flight_than_may_be_when_they_come_in_one_turn(kind: str) -> None:
    headers, content, _ = SENT[kind]
    doorway = Doorway(Flight(max_bytes=3 * len(json.dumps(content))))
    connections = Connections(doorway)
    for number in range(5):
        connections.send(number, headers, content)
    await eventually(lambda: len(connections.answers) == 5)
    assert [status == 429 for status in connections.statuses()] == [False] * 3 + [True] * 2


async def in_a_row(messages: Sequence[Message], principal: Principal, tell: Tell) -> None:
    tell(range(len(messages)), ReceiptsInARow(messages, StoredInARow("local", "sb-acme", range(1, 1 + len(messages)))))


async def mixed(messages: Sequence[Message], principal: Principal, tell: Tell) -> None:
    tell(range(len(messages)), list(map(accepted, messages)))


@pytest.mark.parametrize("telling", [in_a_row, mixed])
async def test_neighbours_are_answered_when_what_one_is_told_can_not_be_written(telling: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """A text that is no UTF-8, say: no door lets one in."""
    doorway = Doorway()
    running: list[asyncio.Task[None]] = []

    def each(messages: Sequence[Message], principal: Principal, tell: Tell) -> None:
        spoilt = [msgspec.structs.replace(one, topic="\ud800") if one.event_id == "e1" else one for one in messages]
        running.append(asyncio.create_task(telling(spoilt, principal, tell)))

    doorway.door._turn = Turn(each, doorway.door._told)
    connections = Connections(doorway)
    for number in range(3):
        connections.send(number, STRUCTURED, event(f"e{number}"))
    await eventually(lambda: len(running) == 1)
    await running[0]
    assert connections.statuses() == [202, 500, 202]
    assert doorway.flight.events == 0
