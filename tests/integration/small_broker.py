"""A small broker over HTTP, in a thread: what comes in goes to the subscriber of its type, and an answer that is an event comes in again.

It treats answers by tests/broker.py, which has the real one's rules, and tries again with a pause that grows. `lose`, `double` and `late`
are the parts, from 0 to 1, of events that are lost, sent twice at once, and held back behind others. What it gave up on is in `dead`.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from cloudevents.conversion import to_structured
from cloudevents.http import CloudEvent, from_http

from tests.broker import seen_by_broker
from tests.ports import free_port
from tests.waiting import eventually_now

RETRIES = 8
FIRST_PAUSE_S = 0.05
AT_ONCE = 32  # deliveries: others wait here and not in httpx's pool, which looks at each of its connections for each that waits, whenever
# one is done: with four hundred that was all that the core did, for minutes


class SmallBroker:
    """`subscribers` has a URL for each type; a type without one is only noted."""

    def __init__(self, subscribers: dict[str, str], seed: int = 1) -> None:
        self.subscribers = subscribers
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lose = self.double = self.late = 0.0
        self.came: Counter[str] = Counter()  # events by type, as they came in
        self.dead: list[CloudEvent] = []
        self.events: list[CloudEvent] = []
        self.refused: Counter[int] = Counter()  # statuses of answers that weren't good
        self._chance = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._room: asyncio.Semaphore
        self._client: httpx.AsyncClient

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._tasks

    @property
    def under_way(self) -> int:
        """How many deliveries haven't ended, with the pauses between their tries."""
        return len(self._tasks)

    async def serve(self, server: uvicorn.Server) -> None:
        """Until the server is told to end; what is under way then is dropped."""
        self._room = asyncio.Semaphore(AT_ONCE)
        async with httpx.AsyncClient(timeout=60) as self._client:
            await server.serve()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.take(from_http(headers, body))
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def take(self, event: CloudEvent) -> None:
        """An event is in the broker."""
        self.came[event["type"]] += 1
        self.events.append(event)
        chance = self._chance.random
        if event["type"] not in self.subscribers or chance() < self.lose:
            return
        for _ in range(2 if chance() < self.double else 1):
            pause = chance() * 0.5 if chance() < self.late else 0.0
            task = asyncio.get_running_loop().create_task(self._deliver(event, pause))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, event: CloudEvent, pause: float) -> None:
        headers, body = to_structured(event)
        for attempt in range(RETRIES + 1):
            await asyncio.sleep(pause)
            pause = FIRST_PAUSE_S * 2**attempt
            try:
                async with self._room:
                    response = await self._client.post(
                        self.subscribers[event["type"]], headers={**headers, "prefer": "reply"}, content=body
                    )
            except httpx.TransportError:
                continue
            outcome, reply = seen_by_broker(response)
            if outcome == "done":
                if reply is not None:
                    self.take(reply)
                return
            self.refused[response.status_code] += 1
            if outcome == "dropped":
                break
        self.dead.append(event)


@contextmanager
def brokering(broker: SmallBroker) -> Iterator[SmallBroker]:
    """The broker, for the time of the block."""
    server = uvicorn.Server(uvicorn.Config(broker, port=broker.port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(broker.serve(server)), name="broker")
    thread.start()
    try:
        eventually_now(lambda: server.started)
        yield broker
    finally:
        server.should_exit = True
        thread.join(20)
