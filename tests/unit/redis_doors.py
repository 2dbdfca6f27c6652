"""The Redis door of a process, on lists in memory."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from functions.redis_source.source import Source
from shared.adapters.memory.submit_lists import Lists, MemorySubmitLists
from shared.domain.errors import SwitchboardError
from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Delivery, Outcome, Receipt, Refusal
from shared.edge.metrics import Counters
from shared.sources.outcomes import inline
from shared.sources.room import Room
from tests.waiting import eventually

MINE = "sb:receipts:{acme}:mine"
ORDERS = Principal("redis:acme", "acme", (Grant("publish", ("orders.>",)),))


def event(id: str = "e1", **more: object) -> dict[str, object]:
    return {"specversion": "1.0", "id": id, "source": "/shop", "type": "order", "replyto": MINE, "data": {"n": 1}, **more}


def encoded(*events: object) -> bytes:
    return json.dumps(events[0] if len(events) == 1 else events).encode()


class Door:
    """The door of one process. `judge` gives the error of a message, if any; what was accepted is in `accepted`."""

    def __init__(self, limit: int = 1_000_000, room: Room | None = None) -> None:
        self.lists = Lists(limit)
        self.snapshot = Snapshot(7, {}, orgs=("acme", "globex"))
        self.judge: Callable[[Message], SwitchboardError | None] = lambda message: None
        self.accepted: list[Message] = []
        self.principals: list[Principal] = []
        self.in_flight = self.most = 0
        self.counters = Counters()
        self.stop = asyncio.Event()
        self.source = self.another(room)

    def another(self, room: Room | None = None, worker: str = "one") -> Source:
        return Source(MemorySubmitLists(self.lists, worker), inline(self.submit, self.counters), lambda: self.snapshot, room)

    async def submit(self, messages: Sequence[Message], principal: Principal) -> list[Outcome]:
        self.principals.append(principal)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        outcomes: list[Outcome] = []
        for message in messages:
            error = self.judge(message)
            if error is None:
                self.accepted.append(message)
            outcomes.append(Receipt(message, 7, (Delivery("local", "sb-acme", 1),)) if error is None else Refusal(error, message.id, 7))
        return outcomes

    def receipts(self, name: str = MINE) -> list[dict[str, Any]]:
        return [json.loads(receipt) for receipt in self.lists.receipts[name]]

    def rejected(self, org: str = "acme") -> list[dict[str, Any]]:
        return [json.loads(entry) for entry in self.lists.rejected[org]]

    async def emptied(self, org: str = "acme") -> None:
        await eventually(lambda: not self.lists.submitted[org] and not self.lists.held[org, "one", "taken"])
