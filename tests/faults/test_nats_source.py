"""50,000 messages submitted over NATS, while the source that takes them is killed: none is lost, and none has a second row."""

import asyncio
import json
import os
import signal
from pathlib import Path

import nats

from tests.faults import ledger
from tests.product import endpoints_of, product
from tests.waiting import eventually

COUNT = 50_000
STREAM = "sb-submit-default"
KILL_AT = (8_000, 20_000, 35_000)  # rows in the store, roughly


def event(number: int) -> bytes:
    attributes = {"specversion": "1.0", "id": f"event-{number}", "source": f"/source/{number % 8}", "type": "fault.test"}
    return json.dumps({**attributes, "subject": f"agent-{number % 10}", "data": {"number": number}}).encode()


async def submit(url: str) -> None:
    """All of them, on the stream: NATS's own promise, which the source has to keep."""
    client = await nats.connect(url)
    try:
        jetstream = client.jetstream()

        async def there() -> bool:
            return any(stream.config.name == STREAM for stream in await jetstream.streams_info())

        await eventually(there)
        for start in range(0, COUNT, 500):
            await asyncio.gather(*(jetstream.publish("submit.default.faults", event(number)) for number in range(start, start + 500)))
    finally:
        await client.close()


async def test_every_message_has_one_row_and_a_delivery_when_the_source_is_killed_three_times(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with product(state) as endpoints:
        database = endpoints["database"]

        async def kills() -> None:
            for logged in KILL_AT:
                await eventually(lambda logged=logged: len(ledger.rows(database)) >= logged, within=240)  # type: ignore[misc]
                pid = endpoints_of(state)["processes"]["nats_source"]
                os.kill(pid, signal.SIGKILL)
                await eventually(lambda pid=pid: endpoints_of(state)["processes"]["nats_source"] != pid)  # type: ignore[misc]

        await asyncio.gather(submit(endpoints["nats"]), kills())
        await eventually(lambda: len(ledger.rows(database)) == COUNT, within=240)
        await eventually(lambda: len(ledger.delivered(database)) == COUNT, within=180)
        rows = ledger.rows(database)
        assert {id: count for id, count in rows.items() if count != 1} == {}
        stream = await ledger.streamed(endpoints["nats"], "sb-default")
        assert len(stream) == len(set(stream)), "a message id is on the stream twice"
        assert set(stream) == set(rows)
        await eventually(lambda: left(endpoints["nats"]), within=180)


async def left(url: str) -> bool:
    """Whether nothing waits on the submit stream any more."""
    client = await nats.connect(url)
    try:
        return (await client.jetstream().stream_info(STREAM)).state.messages == 0
    finally:
        await client.close()
