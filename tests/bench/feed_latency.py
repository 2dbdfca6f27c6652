"""P6: from POST to a client of the feed, at a fixed rate. The events come from a process of their own, and say when they were due.

Latency counts from when an event was due, not from when the sender got round to it: a stall is seen in full.
"""

import asyncio
import json
import os
import secrets
import sys
import time
from collections import deque
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect

CONNECTIONS = 64
TICK = 0.001  # seconds between two looks at what is due
DRAIN = 5.0  # seconds for the last messages to arrive
_HEAD = (
    "POST /v1/events HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer %s\r\n"
    "content-type: application/cloudevents-batch+json\r\ncontent-length: %d\r\n\r\n"
)
_EVENT = (
    '{"specversion":"1.0","id":"%s-%d","source":"/bench/feed","type":"com.example.order.created","subject":"agent-7",'
    '"topic":"bench.%s","datacontenttype":"application/json","data":{"due":%d,"note":"' + "n" * 180 + '"}}'
)


class _Data(msgspec.Struct):
    due: int


class _Message(msgspec.Struct):
    data: _Data


class _Frame(msgspec.Struct):
    messages: list[_Message] = []


async def run(base_url: str, key: str, seconds: float = 10, rate: int = 5000, batch: int = 1) -> dict[str, float]:
    """Latency in ms of `rate` events a second, `batch` of them a POST: p50, p99, max; and how many were sent, accepted and received.

    Drives a running Switchboard from outside it. `rate` in the answer is what was really accepted a second.
    """
    topic = secrets.token_hex(6)
    url = f"ws{base_url.rstrip('/').removeprefix('http')}/v1/feed?topic=bench.{topic}&verdict=accepted"
    async with connect(url, additional_headers={"Authorization": f"Bearer {key}"}, compression=None, max_size=None) as feed:
        await feed.recv()
        sender = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.feed_latency", base_url, topic, str(seconds), str(rate), str(batch)),
            env={**os.environ, "SWITCHBOARD_KEY": key},
            stdout=asyncio.subprocess.PIPE,
        )
        receiving = asyncio.create_task(_receive(feed))
        output, _ = await sender.communicate()
        sent = json.loads(output)
        latencies = sorted(await receiving)
    return {
        "p50_ms": _quantile(latencies, 0.50),
        "p99_ms": _quantile(latencies, 0.99),
        "max_ms": latencies[-1] if latencies else float("nan"),
        "received": len(latencies),
        "sent": sent["sent"],
        "accepted": sent["accepted"],
        "rate": sent["accepted"] / sent["seconds"],
    }


async def _receive(feed: ClientConnection) -> list[float]:
    """The latencies of what comes, in ms, until nothing came for DRAIN seconds."""
    decode = msgspec.json.Decoder(_Frame).decode
    latencies: list[float] = []
    while True:
        try:
            async with asyncio.timeout(DRAIN):
                text = await feed.recv()
        except TimeoutError:
            return latencies
        now = time.monotonic_ns()
        latencies += [(now - message.data.due) / 1e6 for message in decode(text).messages]


def _quantile(ordered: list[float], part: float) -> float:
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else float("nan")


class _Sender(asyncio.Protocol):
    """One keep-alive connection with at most one request in flight."""

    def __init__(self, idle: "deque[_Sender]", statuses: dict[int, int]) -> None:
        self._idle, self._statuses = idle, statuses
        self._buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._idle.append(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        found = self._buffer.lower().find(b"content-length:", 0, head)
        if len(self._buffer) < head + 4 + int(self._buffer[found + 15 : self._buffer.index(b"\r\n", found)]):
            return
        status = int(self._buffer[9:12])
        self._statuses[status] = self._statuses.get(status, 0) + 1
        self._buffer = b""
        self._idle.append(self)


async def _send(base_url: str, key: str, topic: str, seconds: float, rate: int, batch: int) -> dict[str, float]:
    """Send at a fixed rate, whatever the answers do; a request waits where every connection is busy."""
    place = urlsplit(base_url)
    host, port = place.hostname or "127.0.0.1", place.port or 80
    idle: deque[_Sender] = deque()
    statuses: dict[int, int] = {}
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: _Sender(idle, statuses), host, port)
    requests, interval = int(seconds * rate / batch), int(1e9 * batch / rate)
    began, number = time.monotonic_ns(), 0
    while number < requests:
        while number < requests and idle and (due := began + number * interval) <= time.monotonic_ns():
            events = (_EVENT % (topic, number * batch + place_in, topic, due) for place_in in range(batch))
            body = f"[{','.join(events)}]"
            sender = idle.popleft()
            assert sender.transport is not None
            sender.transport.write((_HEAD % (place.netloc, key, len(body)) + body).encode())
            number += 1
        await asyncio.sleep(TICK)
    deadline = time.monotonic() + 30
    while len(idle) < CONNECTIONS and time.monotonic() < deadline:  # noqa: ASYNC110  # once, at the end
        await asyncio.sleep(TICK)
    return {"sent": requests * batch, "accepted": statuses.get(202, 0) * batch, "seconds": (time.monotonic_ns() - began) / 1e9}


if __name__ == "__main__":
    base, name, span, speed, size = sys.argv[1:]
    print(json.dumps(uvloop.run(_send(base, os.environ["SWITCHBOARD_KEY"], name, float(span), int(speed), int(size)))))
