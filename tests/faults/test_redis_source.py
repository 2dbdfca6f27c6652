"""50,000 messages pushed over Redis, while the source that takes them is killed: none is lost, and none has a second row."""

import asyncio
import json
import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis.asyncio

from shared.domain.message import message_id, uuid_text
from tests.faults import ledger
from tests.product import endpoints_of, product
from tests.waiting import eventually

COUNT = 50_000
ORG = "default"
SUBMIT, RECEIPTS = f"sb:submit:{{{ORG}}}", f"sb:receipts:{{{ORG}}}:faults"
KILL_AT = (8_000, 20_000, 35_000)  # receipts, roughly
LOOK = 0.5  # seconds between two looks at all rows, which take the core from what is looked at


def event(number: int) -> dict[str, object]:
    attributes = {"specversion": "1.0", "id": f"event-{number}", "source": f"/source/{number % 8}", "type": "fault.test"}
    return {**attributes, "subject": f"agent-{number % 10}", "replyto": RECEIPTS, "data": {"number": number}}


def elements() -> list[bytes]:
    """Half of the events alone, half in arrays of 50."""
    found = [json.dumps(event(number)).encode() for number in range(COUNT // 2)]
    starts = range(COUNT // 2, COUNT, 50)
    return found + [json.dumps([event(number) for number in range(start, start + 50)]).encode() for start in starts]


async def push(client: Any) -> None:
    """All of them, a few at a time: what is pushed is on the server's disk."""
    waiting = elements()
    for start in range(0, len(waiting), 100):
        await client.lpush(SUBMIT, *waiting[start : start + 100])
        await asyncio.sleep(0)


async def told(client: Any, receipts: int) -> bool:
    """Whether so many receipts are there."""
    return int(await client.llen(RECEIPTS)) >= receipts


async def test_every_message_has_one_row_a_receipt_and_a_delivery_when_the_source_is_killed_three_times(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with product(state) as endpoints:
        database = endpoints["database"]
        client: Any = redis.asyncio.Redis.from_url(endpoints["redis"])

        async def kills() -> None:
            for receipts in KILL_AT:
                await eventually(lambda receipts=receipts: told(client, receipts), within=180)  # type: ignore[misc]
                pid = endpoints_of(state)["processes"]["redis_source"]
                os.kill(pid, signal.SIGKILL)
                await eventually(lambda pid=pid: endpoints_of(state)["processes"]["redis_source"] != pid)  # type: ignore[misc]

        async with client:
            async with asyncio.timeout(600):
                await asyncio.gather(push(client), kills())
            await eventually(lambda: len(ledger.rows(database)) == COUNT, within=240, step=LOOK)
            await eventually(lambda: len(ledger.delivered(database)) == COUNT, within=180, step=LOOK)

            async def left() -> bool:
                return not await client.exists(SUBMIT) and await client.keys(f"sb:door:{{{ORG}}}:taken:*") == []

            await eventually(left)
            receipts = [json.loads(receipt) for receipt in await client.lrange(RECEIPTS, 0, -1)]
        rows = ledger.rows(database)
        assert {id: count for id, count in rows.items() if count != 1} == {}
        assert {receipt["status"] for receipt in receipts} == {"accepted"}
        assert {receipt["id"] for receipt in receipts} == set(rows)
        sent = {uuid_text(message_id(ORG, f"/source/{number % 8}", f"event-{number}")): number for number in range(COUNT)}
        first_told = [sent[id] for id in dict.fromkeys(receipt["id"] for receipt in receipts)]
        back = sum(later < earlier for earlier, later in pairwise(first_told))
        assert back <= len(KILL_AT), "in the order sent, but for what a dead worker held: that comes when it is taken over"
        stream = await ledger.streamed(endpoints["nats"], f"sb-{ORG}")
        assert len(stream) == len(set(stream)), "a message id is on the stream twice"
        assert set(stream) == set(rows)
