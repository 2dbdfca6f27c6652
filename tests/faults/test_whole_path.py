"""10,000 sends from outside, while what is on their way is killed: nothing acknowledged is lost, doubled, or published unlogged."""

import asyncio
import os
import signal
from pathlib import Path

from tests.faults import ledger
from tests.faults.sender import Sender
from tests.product import endpoints_of, product
from tests.waiting import eventually

COUNT = 10_000
LOOK = 0.5  # seconds between two looks at all rows, which take the core from what is looked at
KILLS = (
    (1_500, "processes", "logger"),
    (3_000, "servers", "nats"),
    (4_500, "processes", "logger"),
    (6_000, "processes", "front"),
    (7_500, "processes", "logger"),
)


async def kill(state: Path, kind: str, name: str) -> None:
    """SIGKILL the process of that name, and wait until `up` has started another."""
    pid = endpoints_of(state)[kind][name]
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: endpoints_of(state)[kind][name] != pid)


async def test_every_acked_message_has_one_row_and_a_delivery_when_everything_on_its_way_is_killed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with product(state) as endpoints:
        sender = Sender(endpoints["http"], endpoints["key"])

        async def faults() -> None:
            for acked, kind, name in KILLS:
                await eventually(lambda acked=acked: len(sender.acked) >= acked, within=240)  # type: ignore[misc]
                await kill(state, kind, name)

        await asyncio.gather(sender.send(COUNT), faults())
        assert sender.refused == {}
        acked = set(sender.acked.values())
        assert len(acked) == COUNT

        database = endpoints_of(state)["database"]
        await eventually(lambda: acked <= set(ledger.rows(database)), within=180, step=LOOK)
        await eventually(lambda: acked <= ledger.delivered(database), within=180, step=LOOK)
        rows = ledger.rows(database)
        assert {id: count for id, count in rows.items() if count != 1} == {}
        stream = await ledger.streamed(endpoints_of(state)["nats"], "sb-default")
        assert len(stream) == len(set(stream)), "a message id is on the stream twice"
        assert acked <= set(stream)
        assert set(stream) <= set(rows), "something was published that is not in the log"
