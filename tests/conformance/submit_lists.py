"""What submit lists must do, as a door's worker sees them."""

from collections.abc import Callable, Sequence
from typing import Protocol

from shared.domain.submitted import Settlement
from shared.ports import SubmitLists


class Outside(Protocol):
    """The other side of the lists: the clients, and time."""

    async def push(self, *elements: bytes) -> None: ...

    async def waiting(self) -> list[bytes]: ...

    async def receipts(self, name: str) -> list[bytes]: ...

    async def rejected(self) -> list[bytes]: ...

    async def five_seconds_later(self) -> None: ...


ELEMENTS = [b"%d" % number for number in range(5)]


class SubmitListsConformance:
    """Subclasses give `workers`, which makes a worker each time it is called, and `outside`; conftest gives `org`.

    A list holds more than it may from 100 elements of a kilobyte on.
    """

    async def test_oldest_is_taken_first_and_stays_until_it_is_settled(
        self, workers: Callable[[], SubmitLists], outside: Outside, org: str
    ) -> None:
        lists = workers()
        assert await lists.waiting([org]) == []
        assert (await lists.take(org)).elements == []
        await outside.push(*ELEMENTS)
        assert await lists.waiting([org, f"{org}2"]) == [org]
        first = await lists.take(org)
        assert (first.elements, first.again) == (ELEMENTS, False)
        again = await lists.take(org)
        assert (again.elements, again.again) == (ELEMENTS, True)
        assert await lists.settle(org, "taken", 5, 2, Settlement())
        assert (await lists.take(org)).elements == ELEMENTS[2:]
        assert await lists.settle(org, "taken", 3, 3, Settlement())
        assert (await lists.take(org)).elements == []

    async def test_what_comes_meanwhile_waits_when_a_batch_is_held(
        self, workers: Callable[[], SubmitLists], outside: Outside, org: str
    ) -> None:
        lists = workers()
        await outside.push(*ELEMENTS)
        await lists.take(org)
        await outside.push(b"later")
        assert (await lists.take(org)).elements == ELEMENTS
        assert await outside.waiting() == [b"later"]

    async def test_outcome_is_told_once_when_it_is_told_twice(self, workers: Callable[[], SubmitLists], outside: Outside, org: str) -> None:
        lists = workers()
        await outside.push(*ELEMENTS)
        await lists.take(org)
        to = f"sb:receipts:{{{org}}}:mine"
        told = Settlement([(to, b"one"), (to, b"two"), (f"sb:receipts:{{{org}2}}:theirs", b"no"), ("anything", b"no")], [b"bad"])
        assert await lists.settle(org, "taken", 5, 5, told)
        assert not await lists.settle(org, "taken", 5, 5, told)
        assert await outside.receipts("mine") == [b"one", b"two"]
        assert await outside.rejected() == [b"bad"]

    async def test_elements_are_taken_next_and_in_order_when_their_worker_leaves(
        self, workers: Callable[[], SubmitLists], outside: Outside, org: str
    ) -> None:
        one, two = workers(), workers()
        await outside.push(*ELEMENTS)
        await one.take(org)
        await outside.push(b"later")
        assert await one.settle(org, "taken", 5, 1, Settlement())
        await one.leave([org])
        assert (await two.take(org)).elements == [*ELEMENTS[1:], b"later"]
        assert not await one.settle(org, "taken", 4, 4, Settlement())

    async def test_elements_are_taken_over_when_their_worker_is_gone_and_not_before(
        self, workers: Callable[[], SubmitLists], outside: Outside, org: str
    ) -> None:
        one, two = workers(), workers()
        await outside.push(*ELEMENTS)
        await one.take(org)
        assert await two.recover([org]) == 0
        await outside.five_seconds_later()
        await one.beat([org])
        assert await two.recover([org]) == 0
        await outside.five_seconds_later()
        assert await two.recover([org, f"{org}2"]) == 5
        assert (await two.take(org)).elements == ELEMENTS
        assert not await one.settle(org, "taken", 5, 5, Settlement([(f"sb:receipts:{{{org}}}:mine", b"one")]))
        assert await outside.receipts("mine") == []

    async def test_newest_are_taken_as_over_when_the_list_holds_more_than_it_may(
        self, workers: Callable[[], SubmitLists], outside: Outside, org: str
    ) -> None:
        one, two = workers(), workers()
        elements: Sequence[bytes] = [b"%03d" % number + b"x" * 1021 for number in range(99)]
        await outside.push(*elements[:40])
        assert (await one.take(org, "over")).elements == []
        await outside.push(*elements[40:], *(b"more" * 256 for _ in range(60)))
        over = await one.take(org, "over")
        assert over.elements[0] == b"more" * 256
        assert await one.settle(org, "over", len(over.elements), 1, Settlement())
        await one.leave([org])
        taken = await two.take(org)
        assert taken.elements[:99] == elements
