"""Work beside a look: whose turn it is, and when that is over."""

import asyncio
from collections.abc import Awaitable, Callable

from shared.adapters.nats.beside import Beside, Piece
from tests.waiting import eventually

WITHIN = 30.0


class Works:
    """Pieces of work that end when a test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ends = asyncio.Event()

    def of(self, name: str) -> Callable[[], Awaitable[str]]:
        async def work() -> str:
            self.begun.append(name)
            await self.ends.wait()
            return name

        return work


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_next_one_has_its_turn_when_the_work_takes_longer_than_a_turn() -> None:
    works, beside = Works(), Beside[str, str](2, 10, 0.05)
    assert await beside.done(Piece("a", "", "hub"), works.of("a"), 0.0) is None
    assert await beside.done(Piece("b", "", "hub"), works.of("b"), 0.0) is None
    await eventually(lambda: works.begun == ["a", "b"], within=WITHIN)
    works.ends.set()
    assert [await beside.done(Piece(key, "", "hub"), works.of("never"), now() + WITHIN) for key in ("a", "b")] == ["a", "b"]
    assert beside.keys == []


async def test_it_waits_for_its_turn_when_the_one_before_is_at_work() -> None:
    works, beside = Works(), Beside[str, str](2, 10, WITHIN)
    for key in ("a", "b"):
        await beside.done(Piece(key, "", "hub"), works.of(key), 0.0)
    await beside.done(Piece("c", "", "other"), works.of("c"), 0.0)
    await eventually(lambda: works.begun == ["a", "c"], within=WITHIN)
    works.ends.set()
    assert await beside.done(Piece("b", "", "hub"), works.of("never"), now() + WITHIN) == "b"


async def test_the_turn_is_the_next_one_s_when_work_is_broken_off() -> None:
    works, beside = Works(), Beside[str, str](2, 10, WITHIN)
    for key in ("a", "b", "c"):
        await beside.done(Piece(key, "", "hub"), works.of(key), 0.0)
    await eventually(lambda: works.begun == ["a"], within=WITHIN)
    await beside.drop(["b"])  # which waits
    await beside.drop(["a"])
    await eventually(lambda: works.begun == ["a", "c"], within=WITHIN)
    await beside.drop(["c"])
