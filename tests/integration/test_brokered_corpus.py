"""One corpus through inline and brokered wiring ends in the same rows; tests/integration/test_stages.py has inline and remote."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
import redis

from shared.domain.principal import Grant
from tests.corpus import BATCHES, SINGLE
from tests.integration.fronts import environment, new_key
from tests.integration.services import Brokered, Service, serving
from tests.integration.small_broker import SmallBroker, brokering
from tests.integration.test_stages import ORG, ROWS, Wiring, judged, same_table
from tests.servers import Databases, RedisDatabases, running
from tests.waiting import eventually_now

WAITING = tuple(f"sb:log:{{0}}:{name}" for name in ("received", "pending:local"))
DELIVERED = "SELECT DISTINCT message_id::text, backbone, stream FROM deliveries WHERE sequence IS NOT NULL ORDER BY message_id"


@dataclass
class Pair:
    inline: Wiring
    brokered: Wiring
    broker: SmallBroker
    log: Any  # the brokered one's Redis

    def settled(self) -> bool:
        """Whether nothing waits in the log or the broker: order through a broker is nobody's promise, and the corpus is about verdicts."""
        return not self.log.exists(*WAITING) and self.broker.idle


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, databases: Databases, migrated_template: str
) -> Iterator[Pair]:
    """The same org in two installs."""
    found: list[Wiring] = []
    broker = SmallBroker({})
    with ExitStack() as stack:
        stack.enter_context(brokering(broker))
        for name in ("inline", "brokered"):
            directory = tmp_path_factory.mktemp(name)
            nats = stack.enter_context(running("nats", directory / "nats"))
            database = stack.enter_context(databases.temporary(migrated_template))
            redis_url = redis_databases.fresh()
            settings = environment(directory, redis_url, nats.url, database)
            keys = [asyncio.run(new_key(database, ORG, *who)) for who in (("admin",), ("shop", (Grant("publish", ("orders.>",)),)))]
            if name == "inline":
                services: tuple[Service, ...] = (door := Service("ingest", settings, directory), Service("logger", settings, directory))
            else:
                brokered = Brokered(settings, directory, broker.url)
                broker.subscribers = brokered.subscribers()
                door, services = brokered.door, brokered.all
            stack.enter_context(serving(*services))
            client = stack.enter_context(httpx.Client(timeout=30))
            found.append(Wiring(door, (keys[0], keys[1]), database, client))
        log = redis.Redis.from_url(redis_url)
        stack.callback(log.close)
        yield Pair(found[0], found[1], broker, log)


def without_verdicts(answer: tuple[int, Any]) -> Any:
    """What the door alone can say: which events are malformed, and that the others are there."""
    status, body = answer
    if status in (400, 415):
        return body.get("detail")
    receipts = body.get("receipts", [body]) if isinstance(body, dict) else []
    return [one["problem"]["detail"] if one.get("status") == "malformed" else "taken" for one in receipts]


def test_wiring_makes_no_difference_to_rows_and_deliveries_when_it_is_brokered(pair: Pair) -> None:
    statuses: set[int] = set()
    for case, key in [*((case, 0) for case in (*SINGLE, *BATCHES)), *judged()]:
        inline, brokered = pair.inline.send(case, key), pair.brokered.send(case, key)
        assert without_verdicts(brokered) == without_verdicts(inline), case.name
        statuses.add(brokered[0])
        eventually_now(pair.settled)
    assert statuses <= {202, 207, 400, 413, 415}, "verdicts come later; 413 is a body that no door reads"
    assert not pair.broker.dead
    eventually_now(partial(same_rows, pair))
    eventually_now(partial(same_table, pair.inline, pair.brokered, DELIVERED))


def same_rows(pair: Pair) -> bool:
    """Whether the rows are the same. Inline, a flood of refusals is recorded in part and counted for the rest; what was acknowledged as
    received has its row always: so many blocked ones more, and nothing else."""
    inline, brokered = (Counter(map(repr, wiring.table(ROWS))) for wiring in (pair.inline, pair.brokered))
    ((counted,),) = pair.inline.table("SELECT coalesce(sum(count), 0) FROM refusal_counts")
    more = brokered - inline
    return bool(inline) and not inline - brokered and more.total() == counted and all("'blocked'" in row for row in more)
