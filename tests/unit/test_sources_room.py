"""A source's bounds: what it holds, how long it waits, and which outcomes it takes for final."""

import asyncio

import pytest

from shared.domain.errors import Forbidden, Malformed, Overloaded, SwitchboardError, Unavailable
from shared.domain.verdict import Receipt, Refusal
from shared.edge.metrics import Counters
from shared.sources.backoff import Backoff
from shared.sources.outcomes import Done, Rejected, Retry, inline, settled, unreadable
from shared.sources.room import Room
from tests.events import message
from tests.waiting import eventually


async def test_who_asks_first_is_let_in_first_when_room_is_given_back() -> None:
    room = Room(max_events=10, max_bytes=100)
    entered: list[str] = []

    async def enter(name: str, events: int, size: int) -> None:
        await room.enter(events, size)
        entered.append(name)

    await enter("a", 6, 10)
    waiting = [asyncio.create_task(enter("b", 6, 10)), asyncio.create_task(enter("c", 1, 10))]
    await eventually(lambda: len(room._waiting) == 2)
    assert entered == ["a"]  # c would fit, and must not pass b
    room.leave(6, 10)
    await asyncio.gather(*waiting)
    assert entered == ["a", "b", "c"]
    assert (room.events, room.bytes) == (7, 20)


async def test_what_is_larger_than_the_room_comes_in_alone() -> None:
    room = Room(max_events=10, max_bytes=100)
    async with room.held(1, 1_000):
        assert not room.fits(1, 1)
    assert room.fits(10, 100)


async def test_nobody_waits_behind_one_that_was_cancelled() -> None:
    room = Room(max_events=10, max_bytes=100)
    await room.enter(9, 0)
    first, second = asyncio.create_task(room.enter(5, 0)), asyncio.create_task(room.enter(1, 0))
    await eventually(lambda: len(room._waiting) == 2)
    first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    room.leave(10, 0)
    assert (room.events, room.bytes) == (0, 0)


def test_pause_doubles_when_it_fails_again_and_is_the_first_one_after_it_worked() -> None:
    backoff = Backoff(first_ms=100, longest_ms=500)
    assert [backoff.failed() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert backoff.failed(2_000) == 2.0
    assert backoff.failed(10**9) == 60.0
    backoff.worked()
    assert backoff.failed() == 0.1


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Unavailable("away", retry_after_ms=300), Retry(300)),
        (Unavailable("away"), Retry(1000)),
        (SwitchboardError("ours"), Retry(1000)),
        (Overloaded("our own load", retry_after_ms=50), Retry(50)),
        (Overloaded("a rule", rule="rate:x"), Done),
        (Forbidden("no", rule="grant"), Done),
    ],
    ids=str,
)
def test_refusal_is_an_outcome_when_a_rule_gave_it_and_comes_back_otherwise(error: SwitchboardError, result: object) -> None:
    found = settled(Refusal(error, bytes(16)))
    assert found == result if isinstance(result, Retry) else isinstance(found, Done) and b'"blocked"' in (found.receipt or b"")


async def test_every_message_comes_back_when_the_pipeline_as_a_whole_cannot_answer() -> None:
    counters = Counters()

    async def away(messages, principal):  # type: ignore[no-untyped-def]
        raise Unavailable("no snapshot yet", retry_after_ms=10)

    async def good(messages, principal):  # type: ignore[no-untyped-def]
        return [Receipt(one, 1, (), False) for one in messages]

    some = [message("e1"), message("e2")]
    assert await inline(away, counters)(some, None) == [Retry(10), Retry(10)]  # type: ignore[arg-type]
    assert [type(one) for one in await inline(good, counters)(some, None)] == [Done, Done]  # type: ignore[arg-type]
    assert (counters.accepted, counters.refused) == (2, {("unavailable", ""): 2})


def test_reason_names_the_field_when_what_came_is_no_message() -> None:
    found = unreadable(Malformed("/id: is missing"))
    assert isinstance(found, Rejected)
    assert found.reason == "/id: is missing"
    assert b'"malformed"' in (found.receipt or b"")
