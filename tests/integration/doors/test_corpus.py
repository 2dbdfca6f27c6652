"""The corpus through every door: bad items at the first, the middle and the last places among a thousand good ones, which are all logged.

Eight of the corpus go together, the first of them at the very first place and the last of them at the very last: each alone would be a
million events, and a quarter of an hour.
"""

import itertools
from typing import cast

import pytest

from tests.corpus import SINGLE, STRUCTURED, Case
from tests.integration.doors.doors import DOORS, House, Receipt, TakesArrays, doors_of

CASES = [case for case in SINGLE if case.content_type == STRUCTURED and not case.headers]
TOGETHER = 8
GOOD = 1_000
IN_ARRAYS = [case for case in CASES if case.status == 400 and case.pointer and len(case.body) < 10_000]  # the array is none without these
ADDRESSED = frozenset(("type too long to be a topic",))  # at a door whose address says the topic, the type is none
ADDRESSING = ("nats", "nats submit")
TAKE_ARRAYS = ("switchboard.events.v1", "redis")

_numbers = itertools.count()


def good() -> bytes:
    """A small event of an id of its own."""
    return b'{"specversion":"1.0","id":"good-%d","source":"/corpus","type":"good","topic":"corpus.good"}' % next(_numbers)


@pytest.mark.parametrize("first", range(0, len(CASES), TOGETHER))
@pytest.mark.parametrize("name", DOORS)
async def test_neighbours_are_logged_and_each_fault_is_named_when_some_are_bad(house: House, name: str, first: int) -> None:
    cases = [case for case in CASES[first : first + TOGETHER] if name not in TAKE_ARRAYS or case.body != b"[]"]  # it has no receipts
    bad, half = [case.body for case in cases], [good() for _ in range(GOOD // 2)]
    events = [*bad, *half, *bad, *(good() for _ in range(GOOD // 2)), *bad]
    async with doors_of(house, house.front.key, name) as (door,):
        receipts = await door.send(events)
    assert len(receipts) == len(events)
    thirds = [receipts[start : start + len(bad)] for start in (0, len(bad) + len(half), len(events) - len(bad))]
    fine = [*receipts[len(bad) :][: len(half)], *receipts[2 * len(bad) + len(half) :][: len(half)]]
    assert {(one["status"], one["duplicate"]) for one in fine} == {("accepted", False)}
    assert len({one["id"] for one in fine}) == GOOD
    for some in thirds:
        for case, receipt in zip(cases, some, strict=True):
            _check(case, receipt, name)
    assert house.healthy()


@pytest.mark.parametrize("first", range(0, len(IN_ARRAYS), 20))
@pytest.mark.parametrize("name", ["http", *TAKE_ARRAYS])
async def test_neighbours_in_an_array_are_logged_and_each_fault_is_named_when_some_are_bad(house: House, name: str, first: int) -> None:
    cases = IN_ARRAYS[first : first + 20]
    bad, half = [case.body for case in cases], (GOOD - 3 * len(cases)) // 2
    events = [*bad, *(good() for _ in range(half)), *bad, *(good() for _ in range(half)), *bad]
    async with doors_of(house, house.front.key, name) as (door,):
        receipts = await cast("TakesArrays", door).send_array(events)
    assert len(receipts) == len(events)
    for place, receipt in enumerate(receipts):
        nth = place % (len(bad) + half)
        if nth < len(bad):
            _check(cases[nth], receipt, name)
        else:
            assert (receipt["status"], receipt["duplicate"]) == ("accepted", False)
    assert len({one["id"] for one in receipts if one["status"] == "accepted"}) == 2 * half
    assert house.healthy()


def _check(case: Case, receipt: Receipt, door: str) -> None:
    if case.status == 202 or (door in ADDRESSING and case.name in ADDRESSED):
        assert receipt["status"] == "accepted", (case.name, receipt)
        return
    assert receipt["status"] == "malformed", (case.name, receipt)
    problem = receipt["problem"]
    assert problem["status"] == case.status
    assert case.pointer is None or case.pointer in [fault["pointer"] for fault in problem["errors"]], (case.name, receipt)
