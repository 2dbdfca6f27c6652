"""Retention: what config says of it, and the sweeper's way through what is too old."""

import asyncio
import json
from typing import Any

import pytest

from functions.logger.retention import BATCH, Sweeper
from shared.domain.errors import Unavailable
from shared.domain.retention import Retention, left_of
from shared.domain.rules.rules import LONGEST_KEPT, Rules
from tests.waiting import eventually

DAY = 86_400


def retention(**documents: Any) -> Retention:
    """By org; `everybody` has the global document."""
    stored = {
        "" if org == "everybody" else org: {"global" if org == "everybody" else "org": json.dumps(said).encode()}
        for org, said in documents.items()
    }
    return Rules(stored).retention


def test_retention_is_ninety_days_when_nobody_says_otherwise() -> None:
    assert retention() == Retention({}, 90 * DAY)
    assert retention(acme={"max_bytes": 9}) == Retention({}, 90 * DAY)


def test_an_orgs_own_goes_before_everybodys() -> None:
    found = retention(everybody={"retention": "30d"}, acme={"retention": "365d"}, globex={"retention": "1h"}, initech={})
    assert found == Retention({"acme": 365 * DAY, "globex": 3_600}, 30 * DAY)
    assert (found.longest, found.of("initech"), found.of("globex")) == (365 * DAY, 30 * DAY, 3_600)


def test_nothing_of_an_org_goes_when_its_document_cannot_be_read() -> None:
    assert retention(acme={"retention": 5}).of("acme") == LONGEST_KEPT


class Store:
    def __init__(self, *gone: int) -> None:
        self.gone, self.asked = list(gone), 0
        self.down = False

    async def expire(self, retention: Retention, now: int, limit: int) -> int:
        assert (retention, now, limit) == (Retention({}, DAY), 7, BATCH)
        self.asked += 1
        if self.down:
            raise Unavailable("the store is down")
        return self.gone.pop(0) if self.gone else 0


async def test_sweeper_goes_on_until_nothing_is_left_and_comes_back() -> None:
    store, stop = Store(5, 3), asyncio.Event()
    sweeper = Sweeper(lambda: Retention({}, DAY), store.expire, lambda: 7, every_s=0.01)
    task = asyncio.create_task(sweeper.run(stop))
    await eventually(lambda: sweeper.removed == 8 and store.asked > 4)
    store.down = True
    asked = store.asked
    await eventually(lambda: store.asked > asked + 1)  # it goes on trying
    stop.set()
    await task


@pytest.mark.parametrize(
    ("document", "left"),
    [
        pytest.param(b'{"max_bytes":9,"retention":"7d"}', b'{"retention":"7d"}', id="how long its messages are kept"),
        pytest.param(b'{"max_bytes":9}', None, id="nothing where it doesn't say"),
        pytest.param(b'{"retention":', b'{"retention":', id="all of it where it can't be read"),
        pytest.param(b'"\xff"', b'"\xff"', id="all of what isn't text"),
        pytest.param(b"[]", None, id="nothing of what is no document"),
    ],
)
def test_only_the_retention_is_left_of_a_deleted_orgs_document(document: bytes, left: bytes | None) -> None:
    assert left_of(document) == left
