"""Group calls: what waits is one call, calls in flight are bounded, and answers come in the order of the questions."""

import asyncio

import pytest

from shared.domain.errors import Unavailable
from shared.stages.groups import Groups
from tests.waiting import eventually


class Stage:
    """Answers a call when it is told to, each item in capitals; `down` makes it unavailable."""

    def __init__(self, in_flight: int = 2) -> None:
        self.calls: list[list[str]] = []
        self.released: list[asyncio.Event] = []
        self.down = False
        self.groups: Groups[str, str] = Groups(self._send, len, in_flight=in_flight, items=3, size=10)

    async def _send(self, items: list[str]) -> list[str]:
        self.calls.append(items)
        self.released.append(asyncio.Event())
        await self.released[-1].wait()
        if self.down:
            raise Unavailable("the stage is down")
        return [item.upper() for item in items]

    async def called(self, times: int) -> None:
        await eventually(lambda: len(self.calls) == times)


def asking(stage: Stage, *items: str) -> "asyncio.Task[list[str]]":
    return asyncio.create_task(stage.groups.ask(items))


async def test_question_goes_at_once_and_what_comes_meanwhile_is_one_call() -> None:
    stage = Stage(in_flight=1)
    first, second, third = asking(stage, "a"), asking(stage, "b"), asking(stage, "c")
    await stage.called(1)
    assert stage.calls == [["a"]]
    stage.released[0].set()
    await stage.called(2)
    stage.released[1].set()
    assert (await first, await second, await third) == (["A"], ["B"], ["C"])
    assert stage.calls == [["a"], ["b", "c"]]


async def test_answers_come_in_the_order_of_the_questions_when_a_later_call_is_quicker() -> None:
    stage = Stage()
    answered: list[str] = []
    asked = [asking(stage, item) for item in ("a", "b")]
    for task in asked:
        task.add_done_callback(lambda task: answered.extend(task.result()))
    await stage.called(2)
    stage.released[1].set()
    asked.append(asking(stage, "c"))
    await asyncio.sleep(0)
    assert not answered
    stage.released[0].set()
    await stage.called(3)
    stage.released[2].set()
    await asyncio.gather(*asked)
    assert answered == ["A", "B"]


async def test_question_is_cut_and_answered_whole_when_it_is_more_than_a_call_takes() -> None:
    stage = Stage(in_flight=1)
    asked = asking(stage, "a", "bb", "c", "d", "eeeeeeee", "fff", "g" * 30)
    for times in range(1, 5):
        await stage.called(times)
        stage.released[times - 1].set()
    assert await asked == ["A", "BB", "C", "D", "EEEEEEEE", "FFF", "G" * 30]
    assert stage.calls == [["a", "bb", "c"], ["d", "eeeeeeee"], ["fff"], ["g" * 30]]


async def test_everybody_in_a_call_is_told_when_it_fails_and_nobody_else() -> None:
    stage = Stage(in_flight=1)
    first, second = asking(stage, "a"), asking(stage, "b")
    await stage.called(1)
    stage.down = True
    stage.released[0].set()
    with pytest.raises(Unavailable):
        await first
    await stage.called(2)
    stage.down = False
    stage.released[1].set()
    assert await second == ["B"]


async def test_calls_go_on_when_one_who_asked_is_gone() -> None:
    stage = Stage(in_flight=1)
    first, second = asking(stage, "a"), asking(stage, "b")
    await stage.called(1)
    first.cancel()
    stage.released[0].set()
    await stage.called(2)
    stage.released[1].set()
    assert await second == ["B"]
