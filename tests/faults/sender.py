"""A sender as the contract wants one: the same event with the same id, again, until the answer says it is stored.

Plain HTTP over asyncio's streams: a client library's pool would cost more than the product under test.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import urlsplit

from tests.waiting import eventually

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Sender:
    """Sends numbered events to one door. `acked` maps an event's id to the message id of its receipt, `refused` to another answer."""

    def __init__(self, url: str, key: str) -> None:
        self.acked: dict[str, str] = {}
        self.refused: dict[str, int] = {}
        self.retries = 0
        self._place = urlsplit(url)
        self._head = (
            f"POST /v1/events HTTP/1.1\r\nHost: {self._place.netloc}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/cloudevents+json\r\nContent-Length: "
        )

    async def send(self, count: int, *, in_flight: int = 64, sources: int = 8) -> None:
        """Send events 0 to count-1; returns when each has its answer. Raises AssertionError when one has none after 180 s."""
        numbers = iter(range(count))
        await asyncio.gather(*(self._worker(numbers, sources) for _ in range(in_flight)))

    async def _worker(self, numbers: Iterator[int], sources: int) -> None:
        """One connection, made again when it breaks."""
        connections: list[Streams] = []
        for number in numbers:
            event: dict[str, object] = {
                "specversion": "1.0",
                "id": f"event-{number}",
                "source": f"/source/{number % sources}",
                "type": "fault.test",
                "subject": f"agent-{number % 10}",
                "data": {"number": number},
            }
            await eventually(self._try(connections, event), within=180)
        for _, writer in connections:
            writer.close()

    def _try(self, connections: list[Streams], event: dict[str, object]) -> Callable[[], Awaitable[bool]]:
        return lambda: self._once(connections, event)

    async def _once(self, connections: list[Streams], event: dict[str, object]) -> bool:
        """One try; True when there is an answer that no retry changes."""
        try:
            async with asyncio.timeout(30):
                if not connections:
                    connections.append(await asyncio.open_connection(self._place.hostname, self._place.port))
                status, answer = await self._post(*connections[0], json.dumps(event).encode())
        except (OSError, EOFError, TimeoutError):
            self.retries += 1
            for _, writer in connections:
                writer.close()
            connections.clear()
            return False
        if status == 202:
            self.acked[str(event["id"])] = json.loads(answer)["id"]
        elif status in (429, 503):
            self.retries += 1
            return False
        else:
            self.refused[str(event["id"])] = status
        return True

    async def _post(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> tuple[int, bytes]:
        writer.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return int(head.split(b" ", 2)[1]), await reader.readexactly(length)
