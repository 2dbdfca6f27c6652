"""Load from a pod while something happens, and what became of it: acked, stored, streamed."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.clients import Clients
from tests.cluster.install import NAMESPACE, Install
from tests.faults import ledger
from tests.waiting import eventually, eventually_now

SECONDS = 600  # a load ends by itself after so long: where six killed pods take more than four minutes to come back, too
COUNT = 24_000  # or after so many events


@dataclass
class Running:
    """A load that runs: how many are acked now, and at the end its outcome."""

    acked: int = 0
    outcome: dict[str, Any] = field(default_factory=dict)

    def reaches(self, acked: int, within: float = 240) -> None:
        """Wait until so many are acked."""
        eventually_now(lambda: self.acked >= acked, within=within)


@contextmanager
def load(
    clients: Clients, key: str, prefix: str, *, rate: float = 40, retry: bool = False, namespace: str = NAMESPACE
) -> Iterator[Running]:
    """Events through the gateway for the time of the block, and until each has its answer."""
    plan = {
        "url": f"http://gateway.{namespace}.svc.cluster.local",
        "key": key,
        "prefix": prefix,
        "rate": rate,
        "seconds": SECONDS,
        "count": COUNT,
        "in_flight": 32,
        "retry": retry,
    }
    running = Running()
    with clients.running("load.py", plan) as process:
        assert process.stdout is not None
        lines = process.stdout

        def read() -> None:
            for line in lines:
                said = json.loads(line)
                running.acked = said.get("acked", running.acked)
                running.outcome = said.get("outcome", running.outcome)

        reader = threading.Thread(target=read)
        reader.start()
        yield running
        assert process.stdin is not None
        process.stdin.close()
        reader.join(SECONDS)
    assert running.outcome, "the load ended without a word"


async def account(install: Install, org: str, outcome: dict[str, Any], streams: Install | None = None) -> None:
    """Every acked message has one row and a delivery, and none is on the org's stream twice. `streams`: whose home backbone it is on, where
    that isn't the install's that has the store."""
    acked = set(outcome["acked"].values())
    assert outcome["failed"] == {}, f"{len(outcome['failed'])} were never accepted: {sorted(set(outcome['failed'].values()))[:5]}"
    assert len(acked) == outcome["sent"]
    database, nats = install.server("database_url"), (streams or install).server("nats_url")
    await eventually(lambda: acked <= set(ledger.rows(database)), within=180)
    await eventually(lambda: acked <= ledger.delivered(database), within=180)
    rows = ledger.rows(database)
    assert {id: rows[id] for id in acked if rows[id] != 1} == {}
    stream = await ledger.streamed(nats, f"sb-{org}")
    assert len(stream) == len(set(stream)), "a message id is on the stream twice"
    assert acked <= set(stream)
    assert set(stream) <= set(rows), "something was published that is not in the log"
