"""Requests of many connections that are read in one turn: submitted together, and each has the answer to what it asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256

import pytest

from functions.door import Tell
from functions.ingest.turn import Turn
from shared.domain.errors import Unavailable
from shared.domain.in_a_row import ReceiptsInARow, StoredInARow
from shared.domain.message import Message, uuid_text
from shared.domain.principal import Grant, Principal
from shared.domain.snapshot import Snapshot
from tests.unit.doors import KEY, PRINCIPAL, STRUCTURED, event
from tests.unit.served import Served, connections, read_answer, request, serving, without
from tests.waiting import eventually

OTHER = Principal("other", "globex", (Grant("admin"),))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


class Kept:
    """What is submitted together, by its sender's name; the third of each answers it."""

    def __init__(self, served: Served) -> None:
        self.groups: list[tuple[str, list[Message], Tell]] = []
        door = served.doorway.door
        door._turn = Turn(self, door._told)

    def __call__(self, messages: Sequence[Message], principal: Principal, tell: Tell) -> None:
        self.groups.append((principal.name, list(messages), tell))


Asking = asyncio.Task[tuple[int, dict[bytes, bytes], bytes]]


async def ask(served: Served, *requests: bytes) -> list[Asking]:
    """Each on a connection of its own; all are there before the server reads the first."""
    streams = [await asyncio.open_connection("127.0.0.1", served.port) for _ in requests]
    await eventually(lambda: len(served.server.server_state.connections) == len(requests))
    for (_, writer), one in zip(streams, requests, strict=True):
        writer.write(one)
    return [asyncio.create_task(answered(*stream)) for stream in streams]


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, dict[bytes, bytes], bytes]:
    try:
        return await read_answer(reader)
    finally:
        writer.close()


def posted(id: str, key: str = KEY) -> bytes:
    return request({**STRUCTURED, "authorization": f"Bearer {key}"}, json.dumps(event(id)).encode())


async def test_each_has_its_own_answer_when_good_and_bad_come_together(served: Served) -> None:
    bad = {
        0: (401, request(without(STRUCTURED, "authorization"), b"{}")),
        7: (400, request(STRUCTURED, b"{")),
        22: (400, request(STRUCTURED, json.dumps(event("", source="")).encode())),
    }
    sent = [bad[place][1] if place in bad else posted(f"e{place}") for place in range(23)]
    answers = await asyncio.gather(*await ask(served, *sent))
    ids = {message.event_id: uuid_text(message.id) for message in served.doorway.submitted}
    assert len(ids) == 20
    for place, (status, _, body) in enumerate(answers):
        if place in bad:
            assert status == bad[place][0]
        else:
            assert (status, json.loads(body)["id"]) == (202, ids[f"e{place}"])
    assert [served.doorway.counters.statuses[status] for status in (202, 400, 401)] == [20, 2, 1]
    assert (served.doorway.flight.events, served.doorway.flight.bytes) == (0, 0)


async def test_each_principal_s_are_one_group_when_they_come_together(served: Served) -> None:
    doorway, kept = served.doorway, Kept(served)
    keys = {sha256(KEY.encode()).digest(): PRINCIPAL, sha256(b"sb_other").digest(): OTHER}
    doorway.state.current = Snapshot(revision=42, keys=keys)
    asked = await ask(served, posted("a"), posted("b", "sb_other"), posted("c"), posted("d", "sb_other"))
    await eventually(lambda: len(kept.groups) == 2)
    groups = {name: [(message.org, message.event_id) for message in messages] for name, messages, _ in kept.groups}
    assert groups == {"tester": [("acme", "a"), ("acme", "c")], "other": [("globex", "b"), ("globex", "d")]}
    assert doorway.flight.events == 4
    for _, messages, tell in kept.groups:
        tell(range(len(messages)), ReceiptsInARow(messages, StoredInARow("local", "sb", range(7, 7 + len(messages)))))
    bodies = [json.loads(body) for _, _, body in await asyncio.gather(*asked)]
    assert [(body["org"], body["deliveries"][0]["sequence"]) for body in bodies] == [("acme", 7), ("globex", 7), ("acme", 8), ("globex", 8)]
    assert (doorway.counters.accepted, doorway.flight.events, doorway.flight.bytes) == (4, 0, 0)


async def test_each_is_answered_as_soon_as_it_is_told(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(served)
    asked = await ask(served, *(posted(f"e{number}") for number in range(4)))
    await eventually(lambda: len(kept.groups) == 1)
    ((_, messages, tell),) = kept.groups
    tell((2,), Unavailable("away", retry_after_ms=1000))
    status, headers, _ = await asked[2]
    assert (status, headers[b"retry-after"]) == (503, b"1")
    tell((1, 3), RuntimeError("a fault of ours"))
    assert [(await asked[place])[0] for place in (1, 3)] == [500, 500]
    assert "a fault of ours" in caplog.text
    assert (asked[0].done(), served.doorway.flight.events) == (False, 1)
    tell((0,), [served.doorway.judge(messages[0])])
    assert (await asked[0])[0] == 202
    assert (served.doorway.flight.events, served.doorway.flight.bytes) == (0, 0)


async def test_neighbours_are_answered_when_a_client_is_gone(served: Served) -> None:
    kept = Kept(served)
    asked = await ask(served, *(posted(f"e{number}") for number in range(3)))
    await eventually(lambda: len(kept.groups) == 1)
    asked[1].cancel()
    await eventually(lambda: len(served.server.server_state.connections) == 2)
    ((_, messages, tell),) = kept.groups
    tell(range(3), list(map(served.doorway.judge, messages)))
    assert [(await asked[place])[0] for place in (0, 2)] == [202, 202]
    assert served.doorway.counters.statuses[202] == 3


async def test_neighbours_are_answered_when_an_answer_can_not_be_written(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Kept(served)
    asked = await ask(served, *(posted(f"e{number}") for number in range(3)))
    await eventually(lambda: len(kept.groups) == 1)
    broken, *_ = connections(served.server)

    def fail(response: bytes) -> None:
        raise RuntimeError("no writing")

    monkeypatch.setattr(broken, "_write", fail)
    ((_, messages, tell),) = kept.groups
    tell(range(3), list(map(served.doorway.judge, messages)))
    await eventually(lambda: sum(one.done() for one in asked) == 2)
    done = [one for one in asked if one.done()]
    assert [one.result()[0] for one in done] == [202, 202]
    assert "no writing" in caplog.text
    monkeypatch.undo()
    broken._answered(b"HTTP/1.1 500 ours\r\ncontent-length: 0\r\n\r\n")
    assert sorted([(await one)[0] for one in asked]) == [202, 202, 500]
