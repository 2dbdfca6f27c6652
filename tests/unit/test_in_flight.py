"""`buffer.in_flight`: what is over is refused as our own load, and harms nobody else."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from msgspec.structs import force_setattr

from shared.domain.errors import Overloaded
from shared.domain.in_flight import InFlight
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.record import Accepted
from shared.domain.snapshot import Snapshot
from shared.edge.hops import goes_back
from tests.events import message
from tests.unit.test_pipeline import ADMIN, Product, receipt, refusal


def snapshot(**documents: dict[str, Any]) -> Snapshot:
    """Documents of org acme; `topics__a` for `topics/a`."""
    return Snapshot(
        revision=42, keys={}, documents={"acme": {path.replace("__", "/"): json.dumps(said).encode() for path, said in documents.items()}}
    )


BOUND = snapshot(topics__a={"buffer": {"in_flight": 2}})


def test_nothing_is_counted_when_no_document_bounds_it() -> None:
    assert InFlight().enter([message(topic="a")], snapshot(org={"max_bytes": 9})) is None
    assert InFlight().enter([message(topic="b")], BOUND) is None


def test_what_is_over_is_refused_until_a_place_is_given_back() -> None:
    counts = InFlight()
    three = [message(f"e{number}", topic="a") for number in range(3)]
    entered = counts.enter(three, BOUND)
    assert entered is not None
    assert [refused is None for refused in entered] == [True, True, False]
    assert goes_back(entered[2] or Overloaded(""))  # a broker sends it again: it is our load, no rule
    again = counts.enter(three[:1], BOUND)
    assert again is not None
    assert isinstance(again[0], Overloaded)
    counts.leave(three, entered, BOUND)
    assert counts.enter(three[:2], BOUND) == [None, None]
    assert counts.enter([message("other", topic="b")], BOUND) is None


async def test_neighbours_are_accepted_when_a_batch_is_over_the_bound_of_one_topic() -> None:
    product = Product()
    state = type("State", (), {"current": BOUND})()
    force_setattr(product.pipeline, "state", state)
    batch = [message(f"e{number}", topic="a" if number % 2 else "b") for number in range(8)]
    outcomes = await product.submit(*batch)
    over = [outcome for outcome in outcomes if type(outcome).__name__ == "Refusal"]
    assert [type(outcome).__name__ for outcome in outcomes[:5]] == ["Receipt"] * 5
    assert [(refusal(outcome).error.status, refusal(outcome).error.rule) for outcome in over] == [(429, None)] * 2
    (later,) = await product.submit(batch[-1])
    assert receipt(later).duplicate is False


async def test_place_is_given_back_when_the_sender_goes_away() -> None:
    product = Product()
    force_setattr(product.pipeline, "state", type("State", (), {"current": BOUND})())
    waiting = asyncio.Event()

    async def slow(messages: Sequence[Message], principal: Principal, snapshot: Snapshot) -> list[None]:
        waiting.set()
        await asyncio.Event().wait()
        return [None for _ in messages]

    check = product.pipeline.check
    force_setattr(product.pipeline, "check", slow)
    task = asyncio.create_task(product.pipeline.submit([message("e1", topic="a"), message("e2", topic="a")], ADMIN))
    await waiting.wait()
    (over,) = await product.pipeline.submit([message("e3", topic="a")], ADMIN)
    refusal(over)
    task.cancel()
    await asyncio.wait([task])
    force_setattr(product.pipeline, "check", check)
    (outcome,) = await product.submit(message("e3", topic="a"))
    receipt(outcome)
    assert [record.message.event_id for flush in product.log.flushes for _, record in flush.new() if isinstance(record, Accepted)] == ["e3"]
