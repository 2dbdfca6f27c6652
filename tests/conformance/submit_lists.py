"""What submit lists must do, as a door's worker sees them."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from shared.domain.submitted import Batch, Settlement
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
        assert (again.elements, again.again, again.number) == (ELEMENTS, True, first.number)
        assert await lists.settle(org, "taken", first, 2, Settlement())
        left = await lists.take(org)
        assert (left.elements, left.number) == (ELEMENTS[2:], first.number)
        assert await lists.settle(org, "taken", left, 3, Settlement())
        assert (await lists.take(org)).elements == []

    async def test_settling_does_nothing_when_another_batch_of_the_same_length_is_held(
        self, workers: Callable[[], SubmitLists], outside: Outside, org: str
    ) -> None:
        """What a dead connection still brings: a worker's word on a batch that it has no more."""
        one, two = workers(), workers()
        await outside.push(*ELEMENTS)
        before = await one.take(org)
        await outside.five_seconds_later()
        assert await two.recover([org]) == 5
        assert await two.settle(org, "taken", await two.take(org), 5, Settlement())
        await outside.push(*(b"new %d" % number for number in range(5)))
        now = await one.take(org)
        assert (len(now.elements), now.again) == (5, False)
        to = f"sb:receipts:{{{org}}}:mine"
        assert not await one.settle(org, "taken", before, 5, Settlement([(to, b"old")], [b"bad"]))
        assert await one.take(org) == msgspec.structs.replace(now, again=True)
        assert await outside.receipts("mine") == []
        assert await one.settle(org, "taken", now, 5, Settlement([(to, b"new")]))
        assert await outside.receipts("mine") == [b"new"]

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
        batch = await lists.take(org)
        to = f"sb:receipts:{{{org}}}:mine"
        told = Settlement([(to, b"one"), (to, b"two"), (f"sb:receipts:{{{org}2}}:theirs", b"no"), ("anything", b"no")], [b"bad"])
        assert await lists.settle(org, "taken", batch, 5, told)
        assert not await lists.settle(org, "taken", batch, 5, told)
        assert await outside.receipts("mine") == [b"one", b"two"]
        assert await outside.rejected() == [b"bad"]

    async def test_elements_are_taken_next_and_in_order_when_their_worker_leaves(
        self, workers: Callable[[], SubmitLists], outside: Outside, org: str
    ) -> None:
        one, two = workers(), workers()
        await outside.push(*ELEMENTS)
        batch = await one.take(org)
        await outside.push(b"later")
        assert await one.settle(org, "taken", batch, 1, Settlement())
        left = await one.take(org)
        await one.leave([org])
        assert (await two.take(org)).elements == [*ELEMENTS[1:], b"later"]
        assert not await one.settle(org, "taken", left, 4, Settlement())

    async def test_elements_are_taken_over_when_their_worker_is_gone_and_not_before(
        self, workers: Callable[[], SubmitLists], outside: Outside, org: str
    ) -> None:
        one, two = workers(), workers()
        await outside.push(*ELEMENTS)
        batch = await one.take(org)
        assert await two.recover([org]) == 0
        await outside.five_seconds_later()
        await one.beat([org])
        assert await two.recover([org]) == 0
        await outside.five_seconds_later()
        assert await two.recover([org, f"{org}2"]) == 5
        assert (await two.take(org)).elements == ELEMENTS
        assert not await one.settle(org, "taken", batch, 5, Settlement([(f"sb:receipts:{{{org}}}:mine", b"one")]))
        assert await outside.receipts("mine") == []

    async def test_one_is_found_among_its_neighbours_when_every_worker_that_takes_it_is_gone(
        self, workers: Callable[[], SubmitLists], outside: Outside, org: str
    ) -> None:
        alive = workers()
        elements = [b"%d" % number for number in range(100)]
        await outside.push(*elements)

        async def taken_by_one_that_dies() -> Batch:
            batch = await workers().take(org)
            await outside.five_seconds_later()
            assert await alive.recover([org]) == len(batch.elements)
            return batch

        assert len((await taken_by_one_that_dies()).elements) == 100
        careful = await alive.take(org)
        assert (careful.elements, careful.deaths) == (elements[:32], 0)
        assert await alive.settle(org, "taken", careful, 32, Settlement())
        assert (await taken_by_one_that_dies()).elements == elements[32:64]
        for deaths in range(3):
            alone = await taken_by_one_that_dies()
            assert (alone.elements, alone.deaths) == (elements[32:33], deaths)
        for number in range(32, 100):  # those that are left of a hundred
            alone = await alive.take(org)
            assert (alone.elements, alone.deaths) == ([elements[number]], 3 if number == 32 else 0)
            assert await alive.settle(org, "taken", alone, 1, Settlement())
        await outside.push(*elements)
        whole = await alive.take(org)
        assert (whole.elements, whole.deaths) == (elements, 0)

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
        assert await one.settle(org, "over", over, 1, Settlement())
        await one.leave([org])
        taken = await two.take(org)
        assert taken.elements[:99] == elements
