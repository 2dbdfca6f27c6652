"""Load from within the cluster, bounded in count and time: numbered events at a steady rate until stdin ends.

Reads one line of JSON, the plan, from stdin; prints a line of JSON twice a second, and one last line with what became of every event.
With `retry` a sender as the contract wants one: after a 503, a 429 or a broken connection the same event again, with the same id.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

PAUSE = 0.25  # seconds before the same event is sent again
TRIES = 720  # of an event; three minutes at least
EVERY = 0.5  # seconds between two lines
ANSWER = 20.0  # seconds an answer may take
RETRIED = (429, 503)


@dataclass
class Load:
    """The plan, and what came of it. `url`: where POST /v1/events is. `rate`: events a second. `seconds` and `count` end it in any case."""

    url: str
    key: str
    prefix: str
    rate: float
    seconds: float
    count: int
    in_flight: int
    retry: bool
    acked: dict[str, str] = field(default_factory=dict)  # event id -> message id of its receipt
    failed: dict[str, str] = field(default_factory=dict)  # event id -> its last answer
    tries: Counter[str] = field(default_factory=Counter)  # answers other than 202, and errors
    times: list[float] = field(default_factory=list)  # seconds from the first try of an event to its 202
    sent: int = 0

    async def run(self) -> None:
        """Send until the plan or stdin ends, and wait for every answer."""
        stopped = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        limits = httpx.Limits(max_connections=self.in_flight, max_keepalive_connections=self.in_flight)
        async with httpx.AsyncClient(timeout=ANSWER, limits=limits, headers={"authorization": f"Bearer {self.key}"}) as client:
            began, room, tasks = time.monotonic(), asyncio.Semaphore(self.in_flight), set[asyncio.Task[None]]()
            reporting = asyncio.create_task(self._report())
            while self.sent < self.count and time.monotonic() < began + self.seconds and not stopped.done():
                await asyncio.sleep(max(0.0, began + self.sent / self.rate - time.monotonic()))
                await room.acquire()
                task = asyncio.create_task(self._deliver(client, self.sent, room))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                self.sent += 1
            await asyncio.gather(*tasks)
            reporting.cancel()

    async def _deliver(self, client: httpx.AsyncClient, number: int, room: asyncio.Semaphore) -> None:
        event = {
            "specversion": "1.0",
            "id": f"{self.prefix}-{number}",
            "source": f"/load/{number % 8}",
            "type": "load.test",
            "subject": f"agent-{number % 10}",
            "data": {"number": number},
        }
        began = time.monotonic()
        try:
            for _ in range(TRIES if self.retry else 1):
                if await self._once(client, event):
                    break
                await asyncio.sleep(PAUSE)
            if event["id"] in self.acked:
                self.times.append(time.monotonic() - began)
        finally:
            room.release()

    async def _once(self, client: httpx.AsyncClient, event: dict[str, Any]) -> bool:
        """One try. True when no retry would change the answer."""
        content, headers = json.dumps(event), {"content-type": "application/cloudevents+json"}
        try:
            answer = await client.post(f"{self.url}/v1/events", content=content, headers=headers)
        except httpx.TransportError as error:
            said = type(error).__name__
        else:
            if answer.status_code == 202:
                self.acked[event["id"]] = answer.json()["id"]
                self.failed.pop(event["id"], None)
                return True
            said = f"{answer.status_code} {answer.text[:200]}"
        self.tries[said[:60]] += 1
        self.failed[event["id"]] = said
        return said[:3].isdigit() and int(said[:3]) not in RETRIED

    async def _report(self) -> None:
        while True:
            say({"acked": len(self.acked), "sent": self.sent})
            await asyncio.sleep(EVERY)

    def outcome(self) -> dict[str, Any]:
        """The last line."""
        times = sorted(self.times) or [0.0]
        seconds = {"median": times[len(times) // 2], "p99": times[len(times) * 99 // 100], "max": times[-1]}
        return {"sent": self.sent, "acked": self.acked, "failed": self.failed, "tries": dict(self.tries), "seconds": seconds}


def say(line: dict[str, Any]) -> None:
    """A line of JSON, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    load = Load(**json.loads(sys.stdin.readline()))
    asyncio.run(load.run())
    say({"outcome": load.outcome()})
