"""A sender as the contract wants one: the same event with the same id, again, until the answer says it is stored."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import httpx

from tests.waiting import eventually


class Sender:
    """Sends numbered events to one door. `acked` maps an event's id to the message id of its receipt, `refused` to another answer."""

    def __init__(self, url: str, key: str) -> None:
        self.acked: dict[str, str] = {}
        self.refused: dict[str, int] = {}
        self.retries = 0
        self._url = url + "/v1/events"
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/cloudevents+json"}

    async def send(self, count: int, *, in_flight: int = 64, sources: int = 8) -> None:
        """Send events 0 to count-1; returns when each has its answer. Raises AssertionError when one has none after 60 s."""
        numbers = iter(range(count))
        limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
        async with httpx.AsyncClient(limits=limits, timeout=10) as client:
            await asyncio.gather(*(self._worker(client, numbers, sources) for _ in range(in_flight)))

    async def _worker(self, client: httpx.AsyncClient, numbers: Iterator[int], sources: int) -> None:
        for number in numbers:
            await eventually(self._once_of(client, number, sources), within=60)

    def _once_of(self, client: httpx.AsyncClient, number: int, sources: int) -> Callable[[], Awaitable[bool]]:
        return lambda: self._once(client, number, sources)

    async def _once(self, client: httpx.AsyncClient, number: int, sources: int) -> bool:
        """One try; True when there is an answer that no retry changes."""
        event = {
            "specversion": "1.0",
            "id": f"event-{number}",
            "source": f"/source/{number % sources}",
            "type": "fault.test",
            "subject": f"agent-{number % 10}",
            "data": {"number": number},
        }
        try:
            answer = await client.post(self._url, headers=self._headers, json=event)
        except httpx.TransportError:
            self.retries += 1
            return False
        if answer.status_code == 202:
            self.acked[f"event-{number}"] = answer.json()["id"]
        elif answer.status_code in (429, 503):
            self.retries += 1
            return False
        else:
            self.refused[f"event-{number}"] = answer.status_code
        return True
