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
    works, beside = Works(), Beside[str, str](3, 10, 0.05)
    assert await beside.done(Piece("a", "", "acme", "hub"), works.of("a"), 0.0) is None
    assert await beside.done(Piece("b", "", "acme", "hub"), works.of("b"), 0.0) is None
    await eventually(lambda: works.begun == ["a", "b"], within=WITHIN)
    works.ends.set()
    assert [await beside.done(Piece(key, "", "acme", "hub"), works.of("never"), now() + WITHIN) for key in ("a", "b")] == ["a", "b"]
    assert beside.keys == []


async def test_it_waits_for_its_turn_when_the_one_before_is_at_work() -> None:
    works, beside = Works(), Beside[str, str](3, 10, WITHIN)
    for key in ("a", "b"):
        await beside.done(Piece(key, "", "acme", "hub"), works.of(key), 0.0)
    await beside.done(Piece("c", "", "globex", "other"), works.of("c"), 0.0)
    await eventually(lambda: works.begun == ["a", "c"], within=WITHIN)
    works.ends.set()
    assert await beside.done(Piece("b", "", "acme", "hub"), works.of("never"), now() + WITHIN) == "b"


async def test_the_turn_is_the_next_one_s_when_work_is_broken_off() -> None:
    works, beside = Works(), Beside[str, str](3, 10, WITHIN)
    for key in ("a", "b", "c"):
        await beside.done(Piece(key, "", "acme", "hub"), works.of(key), 0.0)
    await eventually(lambda: works.begun == ["a"], within=WITHIN)
    await beside.drop(["b"])  # which waits
    await beside.drop(["a"])
    await eventually(lambda: works.begun == ["a", "c"], within=WITHIN)
    await beside.drop(["c"])


async def test_another_org_has_room_when_one_has_more_than_there_is_and_all_of_it_is_slow() -> None:
    """Three slow leaves of one org's hub held all of it for ten minutes."""
    works, beside = Works(), Beside[str, str](3, 10, WITHIN)
    for key in ("a", "b", "c", "d"):
        await beside.done(Piece(key, "", "acme", key), works.of(key), 0.0)
    await eventually(lambda: works.begun == ["a", "b"], within=WITHIN)
    await beside.done(Piece("e", "", "globex", "e"), works.of("e"), 0.0)
    await eventually(lambda: works.begun == ["a", "b", "e"], within=WITHIN)
    await beside.drop(["c"])  # which waits for room
    await beside.drop(["a"])
    assert works.begun == ["a", "b", "e"]  # b and e: one is free, and of three an org has two
    await beside.drop(["e"])
    await eventually(lambda: works.begun == ["a", "b", "e", "d"], within=WITHIN)
    works.ends.set()
    assert [await beside.done(Piece(key, "", "acme", key), works.of("never"), now() + WITHIN) for key in ("b", "d")] == ["b", "d"]
