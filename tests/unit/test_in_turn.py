"""What keepers write to the registry, and how it gets there."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from functions.reconcile_backbones.in_turn import InTurn
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.registry import MemoryRegistry
from shared.domain.errors import Malformed, SwitchboardError, Unavailable
from shared.domain.registry.deciding import Change
from shared.domain.registry.shapes import SHARED, Access, Cluster, Report, Status
from tests.waiting import eventually


class Slow(MemoryRegistry):
    """Its steps wait for `going_on`; `refuses` what a report of a cluster is refused with."""

    def __init__(self) -> None:
        super().__init__(MemoryConfigStore())
        self.going_on = asyncio.Event()
        self.steps: list[int] = []
        self.writing = self.most_writing = 0
        self.refuses: dict[str, SwitchboardError] = {}
        self.error: Exception | None = None

    async def write(self, change: Change, author: str, reason: str = ""):  # type: ignore[no-untyped-def]  # as it is there
        self.writing += 1
        self.most_writing = max(self.writing, self.most_writing)
        await asyncio.sleep(0)
        try:
            return await super().write(change, author, reason)
        finally:
            self.writing -= 1

    async def report(self, org: str, path: str, status: Status, happened: Sequence[object] = ()) -> bool:
        if path in self.refuses:
            raise self.refuses[path]
        return await super().report(org, path, status)

    async def report_all(self, reports: Sequence[Report]) -> list[bool]:
        self.steps.append(len(reports))
        await self.going_on.wait()
        if self.error is not None:
            raise self.error
        return await super().report_all(reports)


async def declared(registry: Slow, count: int) -> InTurn:
    """So many clusters `c0`, `c1`, ..., written at once."""
    turns = InTurn(registry)
    clusters = [Cluster(f"c{number}", SHARED, "", "helm", Access(in_cluster=True), {}) for number in range(count)]
    await asyncio.gather(*(turns.write(Change("add", one, 0), "boss") for one in clusters))
    return turns


def report(turns: InTurn, number: int) -> "asyncio.Task[bool]":
    return asyncio.create_task(turns.report(SHARED, f"clusters/c{number}", Status(number)))


async def test_changes_are_made_one_at_a_time_when_many_come_at_once() -> None:
    registry = Slow()
    await declared(registry, 20)
    assert registry.most_writing == 1


async def test_what_comes_while_a_report_is_under_way_goes_in_one_step_behind_it() -> None:
    registry = Slow()
    turns = await declared(registry, 50)
    first = report(turns, 0)
    await eventually(lambda: registry.steps == [1], within=30.0)
    rest = [report(turns, number) for number in range(1, 51)]
    gone = report(turns, 1)
    await asyncio.sleep(0)
    gone.cancel()
    registry.going_on.set()
    assert await first
    assert await asyncio.gather(*rest) == [True] * 49 + [False], "the last is not declared"
    assert registry.steps == [1, 50], "who was broken off meanwhile reports no more"
    found = await turns.registered((SHARED,), "clusters/c7")
    assert found[SHARED, "clusters/c7"].status == Status(7)


async def test_neighbours_are_kept_when_one_report_is_refused() -> None:
    registry = Slow()
    registry.going_on.set()
    turns = await declared(registry, 3)
    registry.refuses["clusters/c1"] = Malformed("the store can't take that")
    answers = await asyncio.gather(*(report(turns, number) for number in range(3)), return_exceptions=True)
    assert answers == [True, registry.refuses["clusters/c1"], True]


@pytest.mark.parametrize("error", [Unavailable("the store can't be reached"), RuntimeError("a fault of ours")])
async def test_everybody_is_told_when_a_step_fails_and_the_next_one_is_tried(error: Exception) -> None:
    registry = Slow()
    registry.going_on.set()
    turns = await declared(registry, 2)
    registry.error = error
    answers = await asyncio.gather(*map(partial(report, turns), range(2)), return_exceptions=True)
    assert answers == [error, error]
    registry.error = None
    assert await report(turns, 0)
