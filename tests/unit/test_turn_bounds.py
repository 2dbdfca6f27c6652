"""What one turn of the loop may bring: bounds hold within it, and what fails for one request is that request's."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.edge.flight import Flight
from shared.edge.whole import head_of
from tests.unit.doors import BATCH, STRUCTURED, Doorway, event
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
